"""The three servers as one thing: started together, watched together, stopped together."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from devstack.errors import EmbeddedError, ServerFailed
from devstack.lock import DirectoryLock
from devstack.process import await_end, spawn, wait_until
from devstack.servers.postgres import Postgres
from devstack.servers.seaweed import PARTS, REGION, Seaweed
from devstack.servers.valkey import Valkey
from devstack.state_file import StateFile

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from devstack.servers.embedded_server import Launch, Server

log = logging.getLogger(__name__)

ROTATE_BYTES = 10_000_000


@dataclass(frozen=True)
class Endpoints:
    """The addresses of a running stack. `admin_url` is the superuser's: for migrations and tests only."""

    admin_url: str
    gateway_url: str
    worker_url: str
    redis_url: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    s3_region: str


@dataclass(frozen=True)
class _Running:
    server: Server
    launch: Launch
    process: subprocess.Popen[bytes]


class Stack:
    """Supervises PostgreSQL, Valkey and SeaweedFS in one directory.

    `durable=False` is for tests: nothing survives a power cut, and writes are faster. A `lock` that is given is
    already held by the caller and stays his.
    """

    def __init__(self, directory: Path, *, durable: bool = True, lock: DirectoryLock | None = None) -> None:
        self.directory = directory.absolute()
        self.durable = durable
        self._given_lock = lock
        self._lock = lock or DirectoryLock(self.directory)
        self._running: list[_Running] = []

    def start(self, *, deadline_s: float = 60) -> Endpoints:
        """Start all three and return where they are; blocks, main thread only.

        Raises EmbeddedError naming the server, the reason and the log file; then nothing is left running.
        """
        until = time.monotonic() + deadline_s
        self._take_directory()
        try:
            postgres, valkey, seaweed = self._servers()
            for server in (seaweed, valkey, postgres):  # the slowest to prepare goes last
                self._launch(server)
            for running in self._running:
                self._await(running, until)
        except BaseException:
            self.stop()
            raise
        return Endpoints(
            postgres.admin_url,
            postgres.gateway_url,
            postgres.worker_url,
            valkey.url,
            seaweed.endpoint,
            seaweed.access_key,
            seaweed.secret_key,
            REGION,
        )

    def stop(self) -> None:
        """Stop all three, each within its deadline, and give the directory back; harmless when nothing runs."""
        for running in self._running:
            running.process.send_signal(running.launch.stop_signal)  # all at once; then each within its deadline
        for running in reversed(self._running):
            went = await_end(running.process, running.launch.stop_within_s)
            if not went and not running.launch.may_be_killed:
                log.warning("%s did not stop in time and was killed", running.server.name)
            running.server.clean_up()
        self._running.clear()
        if self._given_lock is None:
            self._lock.release()

    def check(self) -> None:
        """Raise ServerFailed when one of the servers has died."""
        for running in self._running:
            code = running.process.poll()
            if code is not None:
                raise ServerFailed(running.server.name, f"ended with {_ending(code)}", self._log(running.server))

    def pids(self) -> Mapping[str, int]:
        """Return the process id of each server."""
        return {running.server.name: running.process.pid for running in self._running}

    def __enter__(self) -> Endpoints:
        """Start."""
        return self.start()

    def __exit__(self, *_exc: object) -> None:
        """Stop."""
        self.stop()

    def _take_directory(self) -> None:
        if self._running:
            raise EmbeddedError(f"the stack in {self.directory} already runs")
        if self._given_lock is None:
            self._lock.acquire()
        self.directory.chmod(0o700)
        (self.directory / "logs").mkdir(exist_ok=True)

    def _servers(self) -> tuple[Postgres, Valkey, Seaweed]:
        names = ("postgres", "valkey", *PARTS)
        ports = StateFile(self.directory / "ports.json").ports(names, paired=frozenset(PARTS))
        keys = StateFile(self.directory / "secrets.json")
        return (
            Postgres(self.directory, ports["postgres"], keys, durable=self.durable),
            Valkey(self.directory, ports["valkey"], keys, durable=self.durable),
            Seaweed(self.directory, ports, keys),
        )

    def _launch(self, server: Server) -> None:
        launch = server.launch()
        with self._open_log(server) as output:
            process = spawn(
                launch.command,
                env=launch.env,
                cwd=launch.cwd,
                output=output,
                death_signal=launch.death_signal,
                keep_fds=(self._lock.fd,),
                become=launch.become,
            )
        self._running.append(_Running(server, launch, process))
        self._lock.child(server.name, process.pid)

    def _await(self, running: _Running, until: float) -> None:
        pid = running.process.pid
        left = max(0.0, until - time.monotonic())
        answered = wait_until(lambda: running.server.ready(pid) or running.process.poll() is not None, left)
        self.check()
        if not answered:
            raise ServerFailed(running.server.name, "was not ready in time", self._log(running.server))
        running.server.settle()

    def _log(self, server: Server) -> Path:
        return self.directory / "logs" / f"{server.name}.log"

    def _open_log(self, server: Server) -> IO[bytes]:
        path = self._log(server)
        if path.exists() and path.stat().st_size > ROTATE_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"

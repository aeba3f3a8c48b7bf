"""The worker processes: forked from one that has imported everything, and started again when they end."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from benchmarks.queue_faults.gate import Gate, Trap
from benchmarks.queue_faults.worker import NO_DATABASE, serve
from config.settings import Settings
from jobs.queue.intervals import Intervals

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

# 30 ms a start instead of the second that the imports take.
FORK = multiprocessing.get_context("forkserver")
WATCH_SECONDS = 0.03
END_SECONDS = 30.0
# How a worker may end: asked by SIGTERM, killed by us or by the poison, or started while there was no database.
EXPECTED = frozenset({0, -signal.SIGKILL, NO_DATABASE})


class Member:
    """One place on the staff: a worker, whichever process it is at the moment."""

    def __init__(self, settings: Settings, gate: Gate, log: str, intervals: Intervals) -> None:
        self.gate = gate
        self._intervals = intervals
        self._settings = settings
        self._log = log
        self._process: BaseProcess | None = None

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return self._process.pid if self._process and self._process.is_alive() else None

    @property
    def exit_code(self) -> int | None:
        """How the process ended; None while it runs and before the first."""
        return self._process.exitcode if self._process else None

    def start(self) -> None:
        """Fork a new process."""
        self._process = FORK.Process(target=serve, args=(self._settings, self._log, self._intervals), daemon=True)
        self._process.start()

    def signal(self, number: int) -> None:
        """Send the process a signal, if there is one."""
        if self.pid is not None:
            os.kill(self.pid, number)

    async def ended(self, pid: int | None) -> None:
        """Wait until that process is no longer the one at work."""
        async with asyncio.timeout(END_SECONDS):
            while self.pid == pid is not None:  # noqa: ASYNC110 - another process sends no signal
                await asyncio.sleep(WATCH_SECONDS)


class Staff:
    """All workers, each replaced when it ends, as a process manager does; `misfits` tells who ended by itself."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members
        self.misfits: list[str] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def working(cls, members: list[Member]) -> AsyncIterator["Staff"]:
        """Start all and keep them running; killed with the block."""
        FORK.set_forkserver_preload(["benchmarks.queue_faults.worker"])
        staff = cls(members)
        watch = asyncio.create_task(staff._watch_forever())
        try:
            yield staff
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            for member in members:
                member.signal(signal.SIGKILL)

    def set_trap(self, trap: Trap | None) -> None:
        """Set the trap before every worker."""
        for member in self.members:
            member.gate.trap = trap

    def of(self, name: str | None) -> Member | None:
        """Return who is called so in `ai_jobs.worker`."""
        return next((one for one in self.members if name and name.endswith(f"-{one.pid}")), None)

    async def _watch_forever(self) -> None:
        while True:
            for member in self.members:
                if member.pid is None:
                    if member.exit_code not in EXPECTED | {None}:
                        self.misfits.append(f"a worker ended by itself with {member.exit_code}")
                    member.start()
            await asyncio.sleep(WATCH_SECONDS)

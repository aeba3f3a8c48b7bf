"""One embedded server that can be ended hard and started again, on the same port and over the same data."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from devstack.process import await_end, spawn
from devstack.servers.embedded_server import Server

if TYPE_CHECKING:
    import subprocess

START_SECONDS = 90.0
POLL_SECONDS = 0.01

Kind = TypeVar("Kind", bound=Server)


class Standing(Generic[Kind]):
    """A server that runs, but for the times it was ended."""

    def __init__(self, server: Kind, directory: Path) -> None:
        self.server = server
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, server: Kind, directory: Path) -> AsyncIterator["Standing[Kind]"]:
        """Start it; it stops with the block."""
        standing = cls(server, directory)
        await standing.start()
        try:
            yield standing
        finally:
            standing.end(server.launch().stop_signal)

    async def start(self) -> None:
        """Start it and wait until it answers; what it does to recover belongs to that."""
        launch = self.server.launch()
        with (self._directory / f"{self.server.name}.log").open("ab") as output:
            self._process = process = spawn(
                launch.command,
                env=launch.env,
                cwd=launch.cwd,
                output=output,
                death_signal=launch.death_signal,
                become=launch.become,
            )
        async with asyncio.timeout(START_SECONDS):
            while not self.server.ready(process.pid):
                assert process.poll() is None, f"{self.server.name} ended with {process.returncode}"
                await asyncio.sleep(POLL_SECONDS)
        self.server.settle()

    def end(self, number: int) -> None:
        """Send it this signal and wait until it is gone."""
        if self._process is not None:
            os.kill(self._process.pid, number)
            assert await_end(self._process, START_SECONDS), f"{self.server.name} does not end by signal {number}"
            self._process = None

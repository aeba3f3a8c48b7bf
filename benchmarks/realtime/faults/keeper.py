"""A stack in a process of its own, so that it can be restarted while its user goes on.

`python -m benchmarks.realtime.faults.keeper DIRECTORY` prints where the servers are, stops and starts all of them for
each line it is given, and ends with its input.
"""

import asyncio
import contextlib
import dataclasses
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson

from devstack.stack import Endpoints, Stack

START_SECONDS = 90.0


class Keeper:
    """The caller's side."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, directory: Path) -> AsyncIterator[tuple["Keeper", Endpoints]]:
        """Start a durable stack in this directory; it stops with the block."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.realtime.faults.keeper", str(directory)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        keeper = cls(process)
        try:
            yield keeper, Endpoints(**orjson.loads(await keeper.answer()))
        finally:
            assert process.stdin is not None
            process.stdin.close()
            await asyncio.wait_for(process.wait(), START_SECONDS)

    async def restart(self) -> None:
        """Stop all servers in good order and start them again, on the same ports."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"restart\n")
        await self.answer()

    async def answer(self) -> bytes:
        """Read a line. Raises when the keeper has ended."""
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("The stack's keeper has ended")
        return line


def main() -> None:
    """Keep a stack until the end of the input."""
    stack = Stack(Path(sys.argv[1]), durable=True)
    print(orjson.dumps(dataclasses.asdict(stack.start())).decode(), flush=True)
    try:
        for _ in sys.stdin:
            stack.stop()
            stack.start()
            print("{}", flush=True)
    finally:
        stack.stop()


if __name__ == "__main__":
    main()

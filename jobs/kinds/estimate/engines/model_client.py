"""Lends a helper process for work that may crash or take the CPU, so that the event loop and leases go on."""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import TYPE_CHECKING, Any

from store.sandbox.memory_cap import HELPERS
from store.sandbox.pipe import READY, command, surroundings

if TYPE_CHECKING:
    from asyncio.subprocess import Process

_START_SECONDS = 30.0
_LONGEST_ANSWER = 64 * 1024**2


class HelperBroke(Exception):
    """The helper died in the middle of this work."""


class HelperTooSlow(Exception):
    """The work took longer than it may; the helper was killed."""


class Helper:
    """One process that does one thing at a time, started when first needed and again after it had to be killed.

    A call that is cancelled or out of time kills the process, so that no work goes on for nobody.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self.working = asyncio.Event()  # set while the process has something to do

    @property
    def pid(self) -> int | None:
        """The process id, None while there is none."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def ask(self, head: dict[str, Any], body: bytes, *, seconds: float) -> tuple[dict[str, Any], bytes]:
        """Send work and wait for its answer; the time starts when the helper is free.

        Raises `HelperTooSlow` or `HelperBroke`.
        """
        async with self._turn:
            answered = False
            try:
                process = await self._running()
                async with asyncio.timeout(seconds):
                    answer = await self._exchange(process, head, body)
                answered = True
            except TimeoutError:
                raise HelperTooSlow(f"no answer within {seconds:.0f} s") from None
            except (OSError, EOFError, ValueError) as error:
                raise HelperBroke(f"the helper ended: {type(error).__name__}") from error
            finally:
                self.working.clear()
                if not answered:
                    await self.aclose()
            return answer

    async def aclose(self) -> None:
        """Kill the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()

    async def _exchange(self, process: Process, head: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        assert process.stdin is not None  # noqa: S101 - both were asked for as pipes
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(json.dumps({**head, "bytes": len(body)}).encode() + b"\n")
        process.stdin.write(body)
        self.working.set()
        with HELPERS.watching(process.pid):
            await process.stdin.drain()
            answer: dict[str, Any] = json.loads(await process.stdout.readline())
            return answer, await process.stdout.readexactly(answer["bytes"])

    async def _running(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await _spawn()
            async with asyncio.timeout(_START_SECONDS):
                await _expect_ready(self._process)
        return self._process


async def _spawn() -> Process:
    return await asyncio.create_subprocess_exec(
        *command("jobs.kinds.estimate.engines.model_process"),
        **surroundings(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        limit=_LONGEST_ANSWER,
    )


async def _expect_ready(process: Process) -> None:
    assert process.stdout is not None  # noqa: S101 - asked for as a pipe
    if await process.stdout.readline() != READY:
        raise EOFError("the helper does not start")

"""Lends a helper process for work that may crash or take the CPU, so that the event loop and leases go on."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from config.logging import get_logger
from store.sandbox.memory_cap import HELPERS
from store.sandbox.pipe import READY, command, surroundings

if TYPE_CHECKING:
    from asyncio.subprocess import Process

log = get_logger(__name__)

NO_MEMORY = "There was not enough memory for this; it is tried again."
_START_SECONDS = 30.0
# From the end of its answers to the end of the process.
_END_SECONDS = 1.0
_LONGEST_ANSWER = 64 * 1024**2


class HelperBroke(Exception):
    """The helper died in the middle of this work."""


class HelperKilled(HelperBroke):
    """The kernel killed the helper, for want of memory: our trouble, and not the file's."""


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

        Raises `HelperTooSlow`, `HelperBroke`, or `HelperKilled` when the kernel ended it for want of memory.
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
                if await self._was_killed():
                    log.critical("A helper was killed: the machine has no memory left", work=head["work"])
                    raise HelperKilled("the kernel killed the helper") from error
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

    async def _was_killed(self) -> bool:
        """Tell whether the kernel has ended the process; a decoder that a file breaks ends by another signal."""
        if self._process is None:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                return await self._process.wait() == -signal.SIGKILL
        return False

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

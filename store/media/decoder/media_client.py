"""Lends helper processes that open contractors' files, so that no file can block or break the gateway."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from config.logging import get_logger
from store.errors import Unavailable, Unprocessable
from store.fair_share import FairShare
from store.objects.content import Converted, Findings
from store.sandbox.memory_cap import HELPERS
from store.sandbox.pipe import READY, command, start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Hashable, Sequence
    from types import TracebackType

    from store.objects.spool import Spool, SpoolCopy

_log = get_logger(__name__)

# What a file may cost in processor time is its own affair; beyond it, it is too hard.
CPU_SECONDS = 20.0
# Sound is coded anew at 25 to 100 times its own speed.
CONVERSION_CPU_SECONDS = 45.0
# What it takes on the clock is the machine's: beyond it nobody looked.
FILE_SECONDS = 60.0
START_SECONDS = 20.0
WAITING = 64
WAIT_SECONDS = 60.0
# Pages come first: a file may take three times as long on a busy machine.
NICENESS = 10

TOO_HARD = (
    "This file could not be opened: it takes too long, or it is damaged. It is kept. Take the photo or recording again."
)


class Decoder:
    """A few helper processes, started when first needed, each killed and replaced when a file is too much for it.

    Pipes and threads rather than asyncio's subprocesses, so that one Decoder serves any loop and closes at once;
    rather than a ProcessPoolExecutor, whose helpers import the gateway and cannot be killed one by one.
    """

    def __init__(
        self, helpers: int = 2, *, cpu_seconds: float = CPU_SECONDS, file_seconds: float = FILE_SECONDS
    ) -> None:
        self._cpu_seconds = cpu_seconds
        self._file_seconds = file_seconds
        self._threads = ThreadPoolExecutor(helpers, thread_name_prefix="decoder")
        self._idle: queue.SimpleQueue[_Helper] = queue.SimpleQueue()
        self._helpers = [_Helper() for _ in range(helpers)]
        for helper in self._helpers:
            self._idle.put(helper)
        self._share = FairShare(helpers, places=WAITING, seconds=WAIT_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the helpers, in the middle of a file too."""
        for helper in self._helpers:
            helper.retire()
        self._threads.shutdown(wait=True)

    async def check(self, file: Spool, content_type: str, *, tenant: Hashable = None) -> Findings:
        """Open a file and tell its kind; one that cannot be opened has a `problem`.

        Raises `Unavailable` when the file could not be looked at, through no fault of its own, and `TooMany` when the
        tenant has its share of the helpers already.
        """
        answer, _ = await self._ask(tenant, "check", [file], content_type)
        match answer["outcome"]:
            case "checked":
                return Findings(**answer["findings"])
            case "broke":
                return Findings(problem=TOO_HARD)
        raise Unavailable("The file couldn't be checked right now. Try again.")

    async def render(self, file: Spool, content_type: str, edge: int, *, tenant: Hashable = None) -> bytes:
        """Make the JPEG of a photo, at most `edge` pixels a side.

        Raises `Unprocessable` when the photo cannot be opened, `Unavailable` and `TooMany` as `check` does.
        """
        return await self._make(tenant, "render", [file], content_type, edge=edge)

    async def join(self, files: Sequence[Spool], content_type: str, *, tenant: Hashable = None) -> bytes:
        """Put recordings one behind the other. Raises as `render`."""
        return await self._make(tenant, "join", files, content_type)

    async def convert(self, file: Spool, content_type: str, *, tenant: Hashable = None) -> list[Converted]:
        """Make files of our types: one, or of a video its sound and one picture. Raises as `render`."""
        answer, body = await self._ask(tenant, "convert", [file], content_type, cpu_seconds=CONVERSION_CPU_SECONDS)
        _require_made(answer)
        made, start = [], 0
        for part in answer["parts"]:
            end = start + part["size"]
            made.append(Converted(part["content_type"], body[start:end], Findings(**part["findings"])))
            start = end
        return made

    async def _make(self, tenant: Hashable, task: str, files: Sequence[Spool], content_type: str, **more: Any) -> bytes:
        answer, body = await self._ask(tenant, task, files, content_type, **more)
        _require_made(answer)
        return body

    async def _ask(
        self, tenant: Hashable, task: str, files: Sequence[Spool], content_type: str, **more: Any
    ) -> tuple[dict[str, Any], bytes]:
        request = {"task": task, "content_type": content_type, "cpu_seconds": self._cpu_seconds} | more
        loop = asyncio.get_running_loop()

        def begin() -> asyncio.Future[tuple[dict[str, Any], bytes]]:
            copies = [file.copy() for file in files]
            return loop.run_in_executor(self._threads, self._ask_helper, request, copies)

        return await self._share.until_done(tenant, begin)

    def _ask_helper(self, request: dict[str, Any], files: Sequence[SpoolCopy]) -> tuple[dict[str, Any], bytes]:
        helper = self._idle.get()  # never waits: there are as many threads as helpers
        try:
            return helper.ask(request, files, self._file_seconds)
        except _NotStarted:
            _log.error("A decoder's helper does not start")
            return {"outcome": "unreachable"}, b""
        except (OSError, ValueError, EOFError):
            outcome = "unreachable" if helper.blameless else "broke"
            _log.warning("A helper ended over a file", content_type=request["content_type"], outcome=outcome)
            return {"outcome": outcome}, b""
        finally:
            for file in files:
                file.close()
            self._idle.put(helper)


def _require_made(answer: dict[str, Any]) -> None:
    match answer["outcome"]:
        case "made":
            return
        case "unreadable":
            raise Unprocessable(answer["problem"])
        case "broke":
            raise Unprocessable(TOO_HARD)
    raise Unavailable("The file couldn't be checked right now. Try again.")


class _NotStarted(Exception):
    """The helper died, or was retired, before it could look at anything."""


class _Helper:
    """One helper process; begun by the first request, and again after it had to be killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.retired = False
        self._out_of_time = False
        self._over_memory = False
        self._lock = threading.Lock()

    @property
    def blameless(self) -> bool:
        """Whether the last file was given up for reasons not its own."""
        return self.retired or self._out_of_time or self._over_memory

    def ask(self, request: dict[str, Any], files: Sequence[SpoolCopy], seconds: float) -> tuple[dict[str, Any], bytes]:
        """Send one request with its files, and wait for its answer; past `seconds` it is killed.

        Raises `_NotStarted`, or OSError, ValueError or EOFError when it is gone before its answer is complete.
        """
        process = self._running()
        self._out_of_time = self._over_memory = False
        deadline = threading.Timer(seconds, self._give_up, [process])
        deadline.start()
        try:
            with HELPERS.watching(process.pid) as watched:
                try:
                    return _exchange(process, request, files)
                finally:
                    self._over_memory = watched.ended
        except BaseException:
            self._drop(process)
            raise
        finally:
            deadline.cancel()
            deadline.join()  # it may be at it just now: it must not hit the next file
            if self._out_of_time:
                self._drop(process)

    def retire(self) -> None:
        """Kill the process, and never start another."""
        with self._lock:
            self.retired = True
            process = self._process
        if process is not None:
            self._drop(process)

    def _give_up(self, process: subprocess.Popen[bytes]) -> None:
        self._out_of_time = True
        process.kill()

    def _running(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self.retired:
                raise _NotStarted
            if self._process is not None and self._process.poll() is None:
                return self._process
            self._process = process = start(command("store.media.decoder.media_process"), niceness=NICENESS)
        self._await_ready(process)
        return process

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = threading.Timer(START_SECONDS, process.kill)
        deadline.start()
        try:
            ready = process.stdout is not None and process.stdout.readline() == READY
        finally:
            deadline.cancel()
        if not ready:
            self._drop(process)
            raise _NotStarted

    def _drop(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        with self._lock:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):  # a request that never went out
                        pipe.close()
            if self._process is process:
                self._process = None


def _exchange(
    process: subprocess.Popen[bytes], request: dict[str, Any], files: Sequence[SpoolCopy]
) -> tuple[dict[str, Any], bytes]:
    assert process.stdin is not None  # noqa: S101 - both were asked for as pipes
    assert process.stdout is not None  # noqa: S101
    process.stdin.write(json.dumps({**request, "sizes": [file.size for file in files]}).encode() + b"\n")
    process.stdin.flush()
    for file in files:
        file.pour(process.stdin)
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    body = process.stdout.read(answer["bytes"])
    if len(body) != answer["bytes"]:
        raise EOFError("the answer was cut short")
    return answer, body

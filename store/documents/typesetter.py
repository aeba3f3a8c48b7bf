"""Sets documents in type: each in a process of its own, a few at once, with a deadline."""

import asyncio
import tempfile
import threading
from collections.abc import Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from config.logging import get_logger
from store.errors import Unavailable
from store.fair_share import FairShare
from store.sandbox.memory_cap import HELPERS
from store.sandbox.pipe import command, start

if TYPE_CHECKING:
    import subprocess

TEMPLATE = Path(__file__).with_name("estimate.typ")
MAIN = "main.typ"
_log = get_logger(__name__)

# One takes a third of a second, nearly all of it starting Python; both leave room for a machine that is busy.
AT_ONCE = 2
WAITING = 32
SECONDS = 30.0
# Pages come first: a document may take three times as long on a busy machine.
NICENESS = 10


class Typesetter:
    """Lends typesetting processes; one that hangs is killed, and takes nothing of the gateway with it."""

    def __init__(self) -> None:
        self._share = FairShare(AT_ONCE, places=WAITING, seconds=SECONDS)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="typesetter")

    async def set(self, values: Mapping[str, Any], pictures: Mapping[str, bytes], *, tenant: Hashable) -> bytes:
        """Return the PDF of `values`, with `pictures` by their file names.

        Raises `TooMany` when the tenant has its share of the processes already, `Unavailable`.
        """
        async with self._share.slot(tenant):
            process = _Process()
            running = asyncio.get_running_loop().run_in_executor(self._threads, process.run, values, pictures)
            try:
                async with asyncio.timeout(SECONDS):
                    return await asyncio.shield(running)
            except TimeoutError:
                _log.warning("Typesetting a document timed out")
                raise Unavailable("The PDF couldn't be made in time. Try again.", retry_after=5) from None
            finally:
                process.end()
                await asyncio.gather(running, return_exceptions=True)  # its slot is free when its thread is


class _Process:
    """One document's process, run from a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False

    def run(self, values: Mapping[str, Any], pictures: Mapping[str, bytes]) -> bytes:
        """Return the PDF. Raises `Unavailable`, also after `end`."""
        with tempfile.TemporaryDirectory(prefix="scopekit-document-") as directory:
            for name, body in {MAIN: TEMPLATE.read_bytes(), **pictures}.items():
                (Path(directory) / name).write_bytes(body)
            return self._typeset(orjson.dumps({"values": values, "directory": directory}))

    def end(self) -> None:
        """Kill the process, or never start it."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()

    def _typeset(self, request: bytes) -> bytes:
        with self._lock:
            if self._ended:
                raise Unavailable("The PDF was given up.")
            self._process = process = start(command("store.documents.typeset"), niceness=NICENESS)
        with process, HELPERS.watching(process.pid):
            pdf: bytes = process.communicate(request)[0]
        if process.returncode != 0:
            _log.error("Typesetting a document failed", status=process.returncode)
            raise Unavailable("The PDF couldn't be made right now. Try again.", retry_after=5)
        return pdf

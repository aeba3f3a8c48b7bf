"""Sets documents in type: each in a process of its own, a few at once, with a deadline."""

import asyncio
import os
import tempfile
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import orjson

from config.logging import get_logger
from store.errors import Unavailable
from store.fair_share import FairShare
from store.sandbox.memory_cap import HELPERS
from store.sandbox.pipe import command, surroundings

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

    async def set(self, values: Mapping[str, Any], pictures: Mapping[str, bytes], *, tenant: Hashable) -> bytes:
        """Return the PDF of `values`, with `pictures` by their file names.

        Raises `TooMany` when the tenant has its share of the processes already, `Unavailable`.
        """
        async with self._share.slot(tenant):
            try:
                async with asyncio.timeout(SECONDS):
                    return await _make(values, pictures)
            except TimeoutError:
                _log.warning("Typesetting a document timed out")
                raise Unavailable("The PDF couldn't be made in time. Try again.", retry_after=5) from None


async def _make(values: Mapping[str, Any], pictures: Mapping[str, bytes]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="scopekit-document-") as directory:
        writing = asyncio.create_task(asyncio.to_thread(_lay_out, Path(directory), pictures))
        try:
            await asyncio.shield(writing)
        finally:
            await asyncio.wait({writing})  # a directory that a thread still writes to cannot be removed
        return await _typeset(orjson.dumps({"values": values, "directory": directory}))


def _lay_out(directory: Path, pictures: Mapping[str, bytes]) -> None:
    for name, body in {MAIN: TEMPLATE.read_bytes(), **pictures}.items():
        (directory / name).write_bytes(body)


async def _typeset(request: bytes) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command("store.documents.typeset"),
        **surroundings(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        with HELPERS.watching(process.pid):
            pdf, _ = await process.communicate(request)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()  # its output to the end: else the pipe stays open behind it
    if process.returncode != 0:
        _log.error("Typesetting a document failed", status=process.returncode)
        raise Unavailable("The PDF couldn't be made right now. Try again.", retry_after=5)
    return pdf

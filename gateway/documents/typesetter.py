"""Sets documents in type: each in a process of its own, a few at once, with a deadline."""

import asyncio
import base64
import os
import sys
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import orjson

from config.logging import get_logger
from store.errors import Unavailable
from store.fair_share import FairShare
from store.media.sandbox import bare_environment

_log = get_logger(__name__)
_ROOT = Path(__file__).parents[2]

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
        request = {"values": values, "pictures": {name: base64.b64encode(body) for name, body in pictures.items()}}
        async with self._share.slot(tenant):
            try:
                async with asyncio.timeout(SECONDS):
                    return await _typeset(orjson.dumps(request, default=bytes.decode))
            except TimeoutError:
                _log.warning("A document was not set in type in time")
                raise Unavailable("The PDF couldn't be made in time. Try again.", retry_after=5) from None


async def _typeset(request: bytes) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.documents.typeset"),
        cwd=_ROOT,
        env=bare_environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        pdf, _ = await process.communicate(request)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        _log.error("A document could not be set in type", status=process.returncode)
        raise Unavailable("The PDF couldn't be made right now. Try again.", retry_after=5)
    return pdf

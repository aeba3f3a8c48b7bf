"""The mail catcher: an SMTP server on loopback that keeps mails as files, which `/dev/mail` shows. None goes out."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiosmtpd.smtp import SMTP

from devstack.state_file import LOOPBACK, write_private

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope

LARGEST_BYTES = 1_000_000
KEPT = 200


class Keeper:
    """Writes each mail into a directory, and forgets the oldest past `KEPT`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep one mail; the name of its file sorts by time."""
        content = envelope.content
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(content)
        write_private(self._directory / f"{time.time_ns():020}.eml", text)
        for old in sorted(self._directory.glob("*.eml"))[:-KEPT]:
            old.unlink(missing_ok=True)
        return "250 OK"


async def catch(port: int, directory: Path) -> None:
    """Take mails until SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is the supervisor's
    server = await loop.create_server(
        lambda: SMTP(Keeper(directory), data_size_limit=LARGEST_BYTES, ident="ScopeKit", loop=loop), LOOPBACK, port
    )
    async with server:
        await stop.wait()


def main() -> None:
    """Catch the mails sent to MAIL_URL, into MAIL_DIR."""
    port = urlsplit(os.environ["MAIL_URL"]).port
    if port is None:
        sys.exit("MAIL_URL names no port.")
    directory = Path(os.environ["MAIL_DIR"])
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    asyncio.run(catch(port, directory))


if __name__ == "__main__":
    main()

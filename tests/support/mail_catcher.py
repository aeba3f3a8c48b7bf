"""A real SMTP server on loopback that keeps what it is given."""

import email
import email.policy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


class Catcher:
    """The mails that came, oldest first; with `refuses` it takes none."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuses = False
        self.url = ""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take one mail."""
        if self.refuses:
            return "451 try later"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def last(self) -> str:
        """The text of the newest mail."""
        return str(self.mails[-1].get_content())

    def code(self) -> str:
        """The code in the newest mail."""
        found = re.search(r"Your code is (\d{6})", self.last())
        assert found is not None
        return found[1]

    def link(self) -> str:
        """The path of the link in the newest mail."""
        found = re.search(r"https?://[^/\s]+(/\S+)", self.last())
        assert found is not None
        return found[1]


@contextmanager
def catch_mail(port: int) -> Iterator[Catcher]:
    """Run the server while the block lasts."""
    catcher = Catcher()
    catcher.url = f"smtp://127.0.0.1:{port}"
    controller = Controller(catcher, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield catcher
    finally:
        controller.stop()

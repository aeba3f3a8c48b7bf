"""A real SMTP server on loopback that keeps what it is given."""

import email
import email.policy
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


class Catcher:
    """The mails that came, oldest first; with `refuses` it takes none.

    `answers` holds what it says to the next MAIL, RCPT or DATA, by command; when they are used up it takes everything.
    """

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answers: dict[str, list[str]] = {}
        self.encrypted: list[bool] = []  # of each mail, whether it came over TLS
        self.refuses = False
        self.url = ""

    def _answer(self, command: str) -> str | None:
        waiting = self.answers.get(command)
        return waiting.pop(0) if waiting else None

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        """Take a sender."""
        envelope.mail_from = address
        return self._answer("MAIL") or "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        """Take a recipient."""
        if (answer := self._answer("RCPT")) is not None:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take one mail."""
        if self.refuses:
            return "451 try later"
        if (answer := self._answer("DATA")) is not None:
            return answer
        self.encrypted.append(session.ssl is not None)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def last(self, number: int = -1) -> str:
        """The text of the newest mail, or of another."""
        body = self.mails[number].get_body(("plain",))
        assert body is not None
        return str(body.get_content()).replace("\r\n", "\n")

    def html(self) -> str:
        """The HTML of the newest mail."""
        body = self.mails[-1].get_body(("html",))
        assert body is not None
        return str(body.get_content()).replace("\r\n", "\n")

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
def catch_mail(port: int, tls: ssl.SSLContext | None = None) -> Iterator[Catcher]:
    """Run the server while the block lasts; with `tls` it takes mails after STARTTLS alone."""
    catcher = Catcher()
    catcher.url = f"smtp://127.0.0.1:{port}"
    controller = Controller(catcher, hostname="127.0.0.1", port=port, tls_context=tls, require_starttls=tls is not None)
    controller.start()
    try:
        yield catcher
    finally:
        controller.stop()

"""The way to the SMTP server that MAIL_URL names: `smtp://user:password@host:587` with STARTTLS, or `smtps://`.

A server's answer about the recipient or the mail itself that is final (5xx) raises `MailRefused`. Everything else, a
refused sender or password among it, is the operator's to mend and raises `Unavailable`: the mail is tried again.
"""

import asyncio
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage, MIMEPart
from email.utils import formatdate, make_msgid, parseaddr
from typing import Any
from urllib.parse import unquote, urlsplit

import aiosmtplib

from config.settings import Settings
from store.errors import Unavailable

SECONDS = 10.0
# Of one mail from the connection to the last answer, however slowly each step goes.
MOST_SECONDS = 25.0
LOGO_ID = "logo"

_FINAL = 500
_MAILBOX_FULL = 552
_SPAM = 554


class MailRefused(Exception):
    """The server will never take this mail for this address; the text says why in a sentence."""


@dataclass(frozen=True)
class Attachment:
    """A file that goes along."""

    name: str
    media_type: str  # such as `application/pdf`
    content: bytes


@dataclass(frozen=True)
class Mail:
    """One mail to one address.

    `html` shows what `text` says; it may show `logo`, a JPEG, as `cid:logo`. `sender_name` stands before the address of
    MAIL_FROM. A mail with an `id` has the same Message-ID each time that it is sent.
    """

    to: str
    subject: str
    text: str
    html: str = ""
    logo: bytes | None = None
    sender_name: str = ""
    reply_to: str = ""
    id: str = ""
    attachments: tuple[Attachment, ...] = ()


async def send(settings: Settings, mail: Mail) -> None:
    """Hand a mail to the server.

    Raises `MailRefused` where the server will not take it, and `Unavailable` where it may later, or there is none.
    """
    if settings.mail_url is None:
        raise Unavailable("MAIL_URL is not set: no mail is sent.")
    try:
        async with asyncio.timeout(MOST_SECONDS):
            await aiosmtplib.send(_message(settings, mail), **_server(settings.mail_url.get_secret_value()))
    except aiosmtplib.SMTPRecipientsRefused as error:
        raise _of_answer(error.recipients[0]) from error
    except aiosmtplib.SMTPDataError as error:
        raise _of_answer(error) from error
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise Unavailable(f"The mail server did not take the mail ({type(error).__name__}).") from error


def _server(mail_url: str) -> dict[str, Any]:
    url = urlsplit(mail_url)
    # A password never goes over a connection without TLS.
    start_tls = True if url.username else None
    return {
        "hostname": url.hostname or "localhost",
        "port": url.port or (465 if url.scheme == "smtps" else 587),
        "username": unquote(url.username) if url.username else None,
        "password": unquote(url.password) if url.password else None,
        "use_tls": url.scheme == "smtps",
        "start_tls": start_tls if url.scheme == "smtp" else False,
        "timeout": SECONDS,
    }


def _of_answer(error: aiosmtplib.SMTPResponseException) -> Exception:
    if error.code < _FINAL:
        return Unavailable(f"The mail server did not take the mail yet ({error.code}).")
    if error.code == _MAILBOX_FULL or "5.2.2" in error.message:
        return MailRefused("The mailbox is full.")
    if isinstance(error, aiosmtplib.SMTPRecipientRefused) and error.code != _SPAM:
        return MailRefused(f"The mail server does not know this address ({error.code}).")
    return MailRefused(f"The mail server refused the mail ({error.code}).")


def _message(settings: Settings, mail: Mail) -> EmailMessage:
    own_name, own_address = parseaddr(settings.mail_from)
    domain = own_address.rpartition("@")[2] or "localhost"
    message = EmailMessage()
    message["From"] = Address(display_name=mail.sender_name or own_name, addr_spec=own_address)
    message["To"] = mail.to
    if mail.reply_to:
        message["Reply-To"] = mail.reply_to
    message["Subject"] = " ".join(mail.subject.split())
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = f"<{mail.id}@{domain}>" if mail.id else make_msgid(domain=domain)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text, cte="quoted-printable")
    if mail.html:
        message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    if mail.html and mail.logo is not None:
        shown = message.get_body(("html",))
        assert isinstance(shown, MIMEPart)  # noqa: S101 - added above
        shown.add_related(mail.logo, "image", "jpeg", cid=f"<{LOGO_ID}>", disposition="inline")
    for file in mail.attachments:
        kind, _, subtype = file.media_type.partition("/")
        message.add_attachment(file.content, kind, subtype, filename=file.name)
    return message

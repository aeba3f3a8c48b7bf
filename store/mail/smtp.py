"""The way to the SMTP server that MAIL_URL names: `smtp://user:password@host:587` with STARTTLS, or `smtps://`."""

from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from urllib.parse import unquote, urlsplit

import aiosmtplib

from config.settings import Settings
from store.errors import Unavailable

SECONDS = 10.0


@dataclass(frozen=True)
class Mail:
    """One mail to one address, in plain text."""

    to: str
    subject: str
    text: str


async def send(settings: Settings, mail: Mail) -> None:
    """Hand a mail to the server. Raises `Unavailable` when it does not take it, or there is none."""
    if settings.mail_url is None:
        raise Unavailable("MAIL_URL is not set: no mail is sent.")
    url = urlsplit(settings.mail_url.get_secret_value())
    try:
        await aiosmtplib.send(
            _message(settings, mail),
            hostname=url.hostname or "localhost",
            port=url.port or (465 if url.scheme == "smtps" else 587),
            username=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
            use_tls=url.scheme == "smtps",
            start_tls=None if url.scheme == "smtp" else False,
            timeout=SECONDS,
        )
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise Unavailable(f"The mail server did not take the mail ({type(error).__name__}).") from error


def _message(settings: Settings, mail: Mail) -> EmailMessage:
    message = EmailMessage()
    message["From"] = settings.mail_from
    message["To"] = mail.to
    message["Subject"] = " ".join(mail.subject.split())
    message["Date"] = formatdate(usegmt=True)
    message["Message-ID"] = make_msgid(domain=parseaddr(settings.mail_from)[1].rpartition("@")[2] or "localhost")
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    return message

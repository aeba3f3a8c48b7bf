"""Mail servers as they are: TLS, greylisting, full mailboxes, silence, and senders they do not take."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from store.errors import Unavailable
from store.mail import smtp
from store.mail.smtp import Mail, MailRefused
from tests.product import free_port
from tests.stack import Services
from tests.support.servers.certificate import certificate
from tests.support.servers.mail_catcher import Catcher, catch_mail

MAIL = Mail("maria@example.com", "Your estimate", "Hello", html="<p>Hello</p>", sender_name="Able & Sons", id="42")


@pytest.fixture
def catcher() -> Iterator[Catcher]:
    """A mail server."""
    with catch_mail(free_port()) as opened:
        yield opened


def _settings(services: Services, url: str) -> Settings:
    return services.settings(mail_url=url, mail_from="ScopeKit <post@app.example>", public_url="https://app.example")


@pytest.fixture
def settings(services: Services, catcher: Catcher) -> Settings:
    """Settings with that server."""
    return _settings(services, catcher.url)


async def test_a_mail_arrives_in_both_forms(settings: Settings, catcher: Catcher) -> None:
    """Text and HTML, from the company's name at our address, under an id that is the same each time."""
    await smtp.send(settings, MAIL)
    await smtp.send(settings, MAIL)
    first, second = catcher.mails
    assert (first["From"], first["Message-ID"]) == ("Able & Sons <post@app.example>", "<42@app.example>")
    assert second["Message-ID"] == first["Message-ID"]
    assert (catcher.last().strip(), catcher.html().strip()) == ("Hello", "<p>Hello</p>")


async def test_starttls_is_used_where_it_is_offered(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate is checked: without the authority that signed it nothing is sent."""
    cert, key = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    with catch_mail(free_port(), tls) as catcher:
        settings = _settings(services, catcher.url)
        with pytest.raises(Unavailable):
            await smtp.send(settings, MAIL)
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        await smtp.send(settings, MAIL)
        assert catcher.encrypted == [True]


async def test_a_password_is_not_sent_in_the_clear(services: Services, catcher: Catcher) -> None:
    """A server that offers no STARTTLS gets neither the password nor the mail."""
    settings = _settings(services, catcher.url.replace("smtp://", "smtp://user:secret@"))
    with pytest.raises(Unavailable):
        await smtp.send(settings, MAIL)
    assert catcher.mails == []


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("RCPT", "451 4.7.1 Greylisted, try again in five minutes"),
        ("RCPT", "452 4.2.2 Mailbox full"),
        ("DATA", "421 4.3.2 Shutting down"),
        ("MAIL", "550 5.7.1 Sender rejected"),
        ("MAIL", "451 4.3.0 Not now"),
    ],
)
async def test_what_may_pass_later_is_tried_again(
    settings: Settings, catcher: Catcher, command: str, answer: str
) -> None:
    """4xx; and a sender that is refused, which the operator can mend: the second try arrives."""
    catcher.answers = {command: [answer]}
    with pytest.raises(Unavailable):
        await smtp.send(settings, MAIL)
    await smtp.send(settings, MAIL)
    assert len(catcher.mails) == 1


@pytest.mark.parametrize(
    ("command", "answer", "reason"),
    [
        ("RCPT", "550 5.1.1 No such user", "does not know this address"),
        ("RCPT", "552 5.2.2 Mailbox full", "mailbox is full"),
        ("RCPT", "550 5.2.2 Over quota", "mailbox is full"),
        ("DATA", "554 5.7.1 Looks like spam", "refused the mail (554)"),
    ],
)
async def test_what_is_final_says_why(
    settings: Settings, catcher: Catcher, command: str, answer: str, reason: str
) -> None:
    """In words for the company that sent it."""
    catcher.answers = {command: [answer]}
    with pytest.raises(MailRefused, match=reason.replace("(", r"\(").replace(")", r"\)")):
        await smtp.send(settings, MAIL)


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    """A server that takes connections and never says a word."""
    over = asyncio.Event()

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    over.set()
    server.close()
    await server.wait_closed()


async def test_a_server_that_hangs_is_left(
    services: Services, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time, and tried again later."""
    monkeypatch.setattr(smtp, "SECONDS", 0.1)
    with pytest.raises(Unavailable):
        await smtp.send(_settings(services, f"smtp://127.0.0.1:{silent_port}"), MAIL)

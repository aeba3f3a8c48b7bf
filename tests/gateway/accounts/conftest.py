"""The gateway over TLS with a mail server, and a browser that sends our own forms."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from config.settings import Settings
from gateway.app import create_app
from jobs.kinds.mail import accounts
from store.pool import Database
from tests.product import free_port
from tests.stack import Services
from tests.support.contract import Witness
from tests.support.servers.mail_catcher import Catcher, catch_mail

ORIGIN = "https://app.example"
OUR_FORM = {"sec-fetch-site": "same-origin", "accept": "text/html"}

OpenBrowser = Callable[..., Awaitable[httpx.AsyncClient]]


@pytest.fixture
def catcher() -> Iterator[Catcher]:
    """A mail server."""
    with catch_mail(free_port()) as opened:
        yield opened


@pytest.fixture
def settings(services: Services, catcher: Catcher) -> Settings:
    """Settings with mail on."""
    return services.settings(mail_url=catcher.url, mail_from="ScopeKit <no-reply@app.example>", public_url=ORIGIN)


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[Starlette]:
    """The gateway; every test begins with fresh limits."""
    application = create_app(settings)
    async with application.router.lifespan_context(application) as state:
        assert state is not None
        application.state.context = state["context"]
        yield application


class Sender:
    """The worker's part that sends mails, one at a time and when the test says so."""

    def __init__(self, service: Database, settings: Settings, admin: Any) -> None:
        self._service, self._settings, self._admin = service, settings, admin

    async def send_one(self) -> bool:
        """Send the oldest mail that waits; False when there is none. Raises `Unavailable` when it is not taken."""
        waiting = await self._admin.fetchrow(
            "SELECT id, payload FROM jobs WHERE job_type = 'mail' AND status = 'queued' ORDER BY id LIMIT 1"
        )
        if waiting is None:
            return False
        await accounts.deliver(self._service, self._settings, waiting["payload"])
        await self._admin.execute("DELETE FROM jobs WHERE id = $1", waiting["id"])
        return True


@pytest.fixture
async def sender(service: Database, settings: Settings, admin: Any) -> Sender:
    """The worker's part that sends mails; nothing waits from the test before."""
    await admin.execute("DELETE FROM jobs WHERE job_type = 'mail'")
    await admin.execute("DELETE FROM scopekit.limit_buckets")
    return Sender(service, settings, admin)


@pytest.fixture
async def open_browser(app: Starlette, witness: Witness, sender: Sender) -> AsyncIterator[OpenBrowser]:
    """Open browsers with cookies of their own, over TLS."""

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"context": app.state.context}
        await witness.call(app, scope, receive, send)

    async with AsyncExitStack() as opened:

        async def open_one(address: str = "203.0.113.9") -> httpx.AsyncClient:
            transport = httpx.ASGITransport(app=with_state, raise_app_exceptions=False, client=(address, 50_000))
            return await opened.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=OUR_FORM | {"origin": ORIGIN})
            )

        yield open_one

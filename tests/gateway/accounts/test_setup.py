"""The first company, on a database of its own that has none."""

import re
from urllib.parse import urlsplit

import asyncpg
import pytest

from config.settings import Settings
from store.pool import Database
from tests.gateway.accounts.conftest import OpenBrowser
from tests.stack import Services, make_services
from tests.support.servers.mail_catcher import Catcher
from tests.tenants import Admin

FORM = {"company": "Acme Roofing", "email": "Owner@Example.com"}


@pytest.fixture
async def services(services: Services) -> Services:
    """An empty database beside the worker's own."""
    name = urlsplit(services.gateway_url).path.removeprefix("/scopekit_")
    return await make_services(services.endpoints, f"empty_{name}")


@pytest.fixture
def settings(services: Services, catcher: Catcher) -> Settings:
    """Settings of a gateway on it."""
    return services.settings(mail_url=catcher.url, public_url="https://app.example")


@pytest.fixture
async def service(services: Services) -> Database:
    """Nothing here asks as a worker."""
    return None  # type: ignore[return-value]


@pytest.fixture
async def admin(services: Services) -> Admin:
    """Connect as the owner of that database's schema."""
    return await asyncpg.connect(services.admin_url)


async def test_the_code_from_the_log_makes_the_first_company_once(
    capsys: pytest.CaptureFixture[str], open_browser: OpenBrowser, admin: Admin
) -> None:
    """A wrong code is refused; the right one makes company and owner and signs in; then the page is gone."""
    found = re.search(r"setup_code=(\w{32})", capsys.readouterr().out)
    assert found is not None
    browser = await open_browser()
    assert "Set up ScopeKit" in (await browser.get("/setup")).text
    wrong = await browser.post("/setup", data=FORM | {"code": "0" * 32})
    assert (wrong.status_code, "That is not the code" in wrong.text) == (403, True)
    assert "Acme Roofing" in wrong.text
    foreign = await browser.post("/setup", data=FORM | {"code": found[1]}, headers={"sec-fetch-site": "cross-site"})
    assert foreign.status_code == 403
    answer = await browser.post("/setup", data=FORM | {"code": found[1]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    me = (await browser.get("/v1/me")).json()
    assert (me["tenant"]["name"], me["role"]) == ("Acme Roofing", "owner")
    assert me["flags"] == {"visits": {"enabled": True, "ai_estimation_enabled": True, "ws_progress_enabled": True}}
    assert await admin.fetchval("SELECT email FROM users WHERE email IS NOT NULL") == "owner@example.com"
    assert (await browser.get("/setup")).status_code == 404
    assert (await browser.post("/setup", data=FORM | {"code": found[1]})).status_code == 404
    await admin.close()

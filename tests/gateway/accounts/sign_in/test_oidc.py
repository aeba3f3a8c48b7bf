"""Signing in by OpenID Connect: the certified provider, our pages, and what an attacker gets of it."""

import asyncio
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import httpx
import pytest

from config.settings import Settings
from tests.gateway.accounts.conftest import ORIGIN, OpenBrowser
from tests.gateway.auth.providers.oidc_server import SECRET, SOURCE, oidc_server, sign_in_there
from tests.stack import Services
from tests.support.npm import install
from tests.tenants import Admin, Tenant

CALLBACK = f"{ORIGIN}/sign-in/oidc/acme/callback"


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the certified provider."""
    with oidc_server(install(SOURCE, tmp_path_factory.mktemp("oidc")), CALLBACK) as found:
        yield found


@pytest.fixture
def settings(services: Services, issuer: str) -> Settings:
    """Settings with two issuers, one of which is away."""
    acme = {"name": "acme", "label": "Acme", "issuer": issuer, "client_id": "scopekit", "client_secret": SECRET}
    away = {"name": "away", "label": "Faraway", "issuer": "http://127.0.0.1:9", "client_id": "scopekit"}
    return services.settings(public_url=ORIGIN, oidc_issuers=[acme, away])


@pytest.fixture
async def person(admin: Admin, tenant: Tenant) -> str:
    """An address with an account, of an owner."""
    address = f"{uuid4().hex[:8]}@acme.test"
    await admin.execute("UPDATE users SET email = $2 WHERE id = $1", tenant.user_id, address)
    return address


async def come_back(browser: httpx.AsyncClient, login: str, path: str = "/sign-in/oidc/acme?next=/ops") -> str:
    """Begin here, sign in there; the address that leads back, as path and query."""
    begun = await browser.get(path)
    assert begun.status_code == 303, begun.text
    back = await asyncio.to_thread(sign_in_there, begun.headers["location"], login)
    assert back.startswith(CALLBACK)
    return back.removeprefix(ORIGIN)


async def test_a_person_signs_in_and_out_there_too(open_browser: OpenBrowser, tenant: Tenant, person: str) -> None:
    """From the button to the company, and to where the person wanted to go; a second time by the identity alone."""
    browser = await open_browser()
    page = (await browser.get("/sign-in?next=/ops")).text
    assert 'href="/sign-in/oidc/acme?next=/ops"' in page
    assert "Continue with Acme" in page
    answer = await browser.get(await come_back(browser, person))
    assert (answer.status_code, answer.headers["location"]) == (303, "/ops")
    me = await browser.get("/v1/me")
    assert (me.status_code, me.json()["tenant"]["id"]) == (200, str(tenant.id))
    out = await browser.post("/sign-out")
    assert out.headers["location"] == "/sign-in?left=acme"
    assert "Sign out of Acme too" in (await browser.get(out.headers["location"])).text
    there = await browser.get("/sign-out/oidc/acme")
    assert "/session/end?client_id=scopekit" in there.headers["location"]
    assert (await browser.get("/v1/me")).status_code == 401


async def test_the_identity_outlives_a_change_of_address(
    open_browser: OpenBrowser, admin: Admin, tenant: Tenant, person: str
) -> None:
    """Issuer and subject name the account from the first sign-in on."""
    browser = await open_browser()
    await browser.get(await come_back(browser, person))
    await admin.execute("UPDATE users SET email = $2 WHERE id = $1", tenant.user_id, f"{uuid4().hex}@other.test")
    again = await open_browser()
    assert (await again.get(await come_back(again, person))).status_code == 303
    assert (await again.get("/v1/me")).json()["tenant"]["id"] == str(tenant.id)


async def test_an_address_that_is_not_verified_leads_to_nobodys_account(
    open_browser: OpenBrowser, admin: Admin, tenant: Tenant
) -> None:
    """Or whoever makes an account with the owner's address there would be the owner here."""
    address = f"unverified{uuid4().hex[:8]}@acme.test"
    await admin.execute("UPDATE users SET email = $2 WHERE id = $1", tenant.user_id, address)
    browser = await open_browser()
    assert (await browser.get(await come_back(browser, address))).status_code == 403
    assert (await browser.get("/v1/me")).status_code == 401


async def test_a_stranger_is_told_that_there_is_no_account(open_browser: OpenBrowser) -> None:
    """SIGN_UP=invite: only who was invited."""
    browser = await open_browser()
    answer = await browser.get(await come_back(browser, f"{uuid4().hex}@acme.test"))
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


async def test_a_way_back_works_once_and_in_the_browser_that_began(open_browser: OpenBrowser, person: str) -> None:
    """Login CSRF and replay: the address that leads back is worth nothing to anybody else, or twice."""
    attacker, victim = await open_browser(), await open_browser()
    back = await come_back(attacker, person)
    assert (await victim.get(back)).status_code == 410
    begun = await victim.get("/sign-in/oidc/acme")
    assert begun.status_code == 303
    mixed = await victim.get(back)  # a ceremony of the victim's own is under way
    assert (mixed.status_code, "scopekit=" in mixed.headers.get("set-cookie", "")) == (403, False)
    assert (await attacker.get(back)).status_code == 303
    assert (await attacker.get(back)).status_code == 410


@pytest.mark.parametrize("target", ["https://evil.test", "//evil.test", "/\\evil.test", "javascript:alert(1)"])
async def test_nobody_is_led_elsewhere(open_browser: OpenBrowser, person: str, target: str) -> None:
    """`next` is a path of ours, or it is the first page."""
    browser = await open_browser()
    begun = await browser.get("/sign-in/oidc/acme", params={"next": target})
    back = await asyncio.to_thread(sign_in_there, begun.headers["location"], person)
    assert (await browser.get(back.removeprefix(ORIGIN))).headers["location"] == "/"


async def test_what_begins_carries_pkce_state_and_nonce(open_browser: OpenBrowser) -> None:
    """And nothing of ours but the client's id and the way back."""
    browser = await open_browser()
    query = dict(parse_qsl(urlsplit((await browser.get("/sign-in/oidc/acme")).headers["location"]).query))
    assert query["code_challenge_method"] == "S256"
    assert query["redirect_uri"] == CALLBACK
    assert len({query["state"], query["nonce"], query["code_challenge"]}) == 3
    assert min(map(len, (query["state"], query["nonce"], query["code_challenge"]))) >= 43


async def test_an_issuer_that_is_away_costs_a_sentence(open_browser: OpenBrowser) -> None:
    """The page says which, and that there are other ways."""
    browser = await open_browser()
    answer = await browser.get("/sign-in/oidc/away")
    assert (answer.status_code, "Faraway does not answer" in answer.text) == (503, True)


@pytest.mark.parametrize("path", ["/sign-in/oidc/none", "/sign-in/oidc/none/callback", "/sign-out/oidc/none"])
async def test_an_issuer_that_is_not_set_up_is_not_there(open_browser: OpenBrowser, path: str) -> None:
    """404, whatever is asked of it."""
    assert (await (await open_browser()).get(path)).status_code == 404

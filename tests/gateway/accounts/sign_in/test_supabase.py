"""Signing in by Supabase Auth, and its tokens as Bearer here; its own published client on the other side."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from config.settings import Settings
from tests.gateway.accounts.conftest import ORIGIN, OpenBrowser
from tests.gateway.auth.providers.gotrue import ANON, CODE, SERVICE, GoTrue, gotrue
from tests.stack import JWT_SECRET, Services
from tests.support.npm import assert_pinned, install
from tests.tenants import Admin, Tenant

AUTH_JS = Path(__file__).parent / "auth_js"
PASSWORD = "correct horse"


@pytest.fixture
async def project() -> AsyncIterator[GoTrue]:
    """A Supabase project, which signs its tokens with our secret."""
    async with gotrue(JWT_SECRET) as found:
        yield found


@pytest.fixture
def settings(services: Services, project: GoTrue) -> Settings:
    """Settings with the project, and one social provider."""
    keys = {"supabase_anon_key": ANON, "supabase_service_role_key": SERVICE}
    return services.settings(public_url=ORIGIN, supabase_url=project.url, supabase_providers="google", **keys)


@pytest.fixture
async def person(admin: Admin, tenant: Tenant, project: GoTrue) -> str:
    """An address with an account here, of an owner, and one there."""
    address = f"{uuid4().hex[:8]}@acme.test"
    await admin.execute("UPDATE users SET email = $2 WHERE id = $1", tenant.user_id, address)
    project.add(address, PASSWORD)
    return address


async def test_a_password_signs_in(open_browser: OpenBrowser, tenant: Tenant, person: str) -> None:
    """From our page to the company; no token of theirs reaches the browser."""
    browser = await open_browser()
    assert 'action="/sign-in/supabase"' in (await browser.get("/sign-in")).text
    answer = await browser.post("/sign-in/supabase", data={"email": person, "password": PASSWORD, "next": "/ops"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/ops")
    assert [name for name in answer.cookies if "scopekit" not in name] == []
    assert (await browser.get("/v1/me")).json()["tenant"]["id"] == str(tenant.id)


async def test_wrong_passwords_are_counted_by_mailbox(open_browser: OpenBrowser, person: str) -> None:
    """Ten tries, whatever the addresses that they come from; the words are the same for everybody."""
    for number in range(10):
        browser = await open_browser(f"198.51.100.{number}")
        answer = await browser.post("/sign-in/supabase", data={"email": person, "password": "wrong"})
        assert (answer.status_code, "password is wrong" in answer.text) == (403, True)
    browser = await open_browser("198.51.100.99")
    answer = await browser.post("/sign-in/supabase", data={"email": person, "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


async def test_a_mailed_code_signs_in(open_browser: OpenBrowser, person: str) -> None:
    """Asked for and typed here, mailed and checked there."""
    browser = await open_browser()
    asked = await browser.post("/sign-in/supabase", data={"email": person, "code": "1"})
    assert (asked.status_code, "Check your mail" in asked.text) == (200, True)
    wrong = await browser.post("/sign-in/supabase/code", data={"email": person, "code": "000000"})
    assert (wrong.status_code, "wrong or has expired" in wrong.text) == (403, True)
    answer = await browser.post("/sign-in/supabase/code", data={"email": person, "code": CODE})
    assert answer.status_code == 303


async def test_asking_for_a_code_tells_nothing(open_browser: OpenBrowser, person: str) -> None:
    """An address without an account is answered alike."""
    texts = []
    for address in (person, "nobody@acme.test"):
        answer = await (await open_browser()).post("/sign-in/supabase", data={"email": address, "code": "1"})
        texts.append((answer.status_code, answer.text.replace(address, "")))
    assert texts[0] == texts[1]


async def test_a_social_sign_in_ends_in_the_browser_that_began(
    open_browser: OpenBrowser, tenant: Tenant, person: str
) -> None:
    """By the project's provider and back; the code is worth nothing in another browser."""
    attacker, browser = await open_browser(), await open_browser()
    assert "Continue with Google" in (await browser.get("/sign-in")).text
    begun = await browser.get("/sign-in/supabase/with/google?next=/ops")
    async with httpx.AsyncClient() as web:
        there = await web.get(begun.headers["location"])
    back = there.headers["location"].removeprefix(ORIGIN)
    assert (await attacker.get(back)).status_code == 410
    await attacker.get("/sign-in/supabase/with/google")
    assert (await attacker.get(back)).status_code == 403
    begun = await browser.get("/sign-in/supabase/with/google?next=/ops")
    async with httpx.AsyncClient() as web:
        there = await web.get(begun.headers["location"])
    answer = await browser.get(there.headers["location"].removeprefix(ORIGIN))
    assert (answer.status_code, answer.headers["location"]) == (303, "/ops")
    assert (await browser.get("/sign-in/supabase/with/github")).status_code == 404


async def test_a_project_that_is_away_costs_a_sentence(open_browser: OpenBrowser, project: GoTrue, person: str) -> None:
    """And nobody is told that the password was wrong."""
    project.down = True
    answer = await (await open_browser()).post("/sign-in/supabase", data={"email": person, "password": PASSWORD})
    assert (answer.status_code, "does not answer" in answer.text) == (503, True)


def test_the_lock_pins_and_names_no_registry() -> None:
    """As the other locks of npm."""
    assert_pinned(AUTH_JS)


async def test_its_own_client_signs_in_and_its_token_works_here(
    open_browser: OpenBrowser, project: GoTrue, tenant: Tenant, person: str, tmp_path: Path
) -> None:
    """`@supabase/auth-js` gets a token there; without app_metadata it acts here for the person's only company."""
    directory = await asyncio.to_thread(install, AUTH_JS, tmp_path)
    node = await asyncio.create_subprocess_exec(
        *("node", "sign_in.mjs", f"{project.url}/auth/v1", ANON, person, PASSWORD),
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await node.communicate()
    token = json.loads(said)["access_token"]
    program = await open_browser()
    headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
    assert (await program.get("/v1/me", headers=headers)).json()["tenant"]["id"] == str(tenant.id)
    made = await program.post("/v1/visits", json={"title": "Kitchen"}, headers=headers)
    assert made.status_code == 201
    other = {**headers, "x-company-id": str(uuid4())}
    assert (await program.get("/v1/visits", headers=other)).status_code == 403
    assert (await program.get("/v1/visits", headers={**headers, "x-company-id": "acme"})).status_code == 400


async def test_a_token_of_nobody_here_is_refused(open_browser: OpenBrowser, project: GoTrue) -> None:
    """An account there is none here; nor is one with an address that was not confirmed, whoever else has it here."""
    program = await open_browser()
    for account in (project.add("nobody@acme.test"), project.add("late@acme.test", confirmed=False)):
        token = project.session(account)["access_token"]
        answer = await program.get("/v1/me", headers={"authorization": f"Bearer {token}", "accept": "*/*"})
        assert answer.status_code == 401


async def test_a_removed_member_is_out_at_once(
    open_browser: OpenBrowser, admin: Admin, project: GoTrue, tenant: Tenant, person: str
) -> None:
    """What is remembered of a token's user is no right."""
    program = await open_browser()
    token = project.session(project.accounts[person])["access_token"]
    headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
    assert (await program.get("/v1/visits", headers=headers)).status_code == 200
    await admin.execute("DELETE FROM memberships WHERE user_id = $1", tenant.user_id)
    async with asyncio.timeout(5):
        while (await program.get("/v1/visits", headers=headers)).status_code != 403:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

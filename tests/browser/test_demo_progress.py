"""The page that shows the relay, in two tabs of one window."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from devstack import seed
from tests.browser.conftest import OpenPerson
from tests.product import free_port, process, wait_until_ready
from tests.stack import Services

pytestmark = pytest.mark.browser


@pytest.fixture
async def home(services: Services, tmp_path: Path) -> AsyncIterator[str]:
    """Run a gateway as a developer's own machine does."""
    await seed.seed(services.admin_url)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = services.environment(PORT=str(port), ALLOWED_ORIGINS=url, ENVIRONMENT="local")
    with process("gateway", ["gateway", "serve"], variables, tmp_path) as gateway:
        wait_until_ready(url, gateway, tmp_path / "gateway.log")
        yield url


async def sees(page: Page, received: int) -> None:
    """Wait for the page to have that many events, none missed."""
    await expect(page.locator("#received")).to_have_text(str(received))
    await expect(page.locator("#gaps")).to_have_attribute("data-gaps", "0")


async def test_two_tabs_show_the_relay(home: str, open_person: OpenPerson) -> None:
    """One leads, one follows; both see all that either inserts; when the first closes the second leads, to the end."""
    person = await open_person()
    leader = person.page
    await leader.goto(f"{home}/demo/progress")
    await expect(leader.locator("#state")).to_have_text("Live")
    async with leader.context.expect_page() as opened:
        await leader.get_by_role("link", name="Open another tab").click()
    follower = await opened.value
    await expect(follower.get_by_role("heading", name="This tab follows")).to_be_visible()
    await expect(follower.locator("#state")).to_have_text("Live")
    await follower.get_by_role("button", name="Insert an event").click()
    await sees(follower, 1)
    await follower.get_by_role("button", name="Insert 100").click()
    for page in (leader, follower):
        await sees(page, 101)
    await follower.get_by_role("button", name="Show the frames").click()
    await expect(follower.locator("#frames")).to_contain_text("event: hello")
    await follower.get_by_role("button", name="Cut this connection").click()
    await expect(follower.locator("#frames")).to_contain_text("> Last-Event-ID: 101")
    await expect(follower.locator("#frames")).to_contain_text('"recovered":true')
    await person.shoot("demo-progress", full=True)
    await leader.close()
    await expect(follower.get_by_role("heading", name="This tab leads")).to_be_visible()
    await follower.get_by_role("button", name="End the run").click()
    await sees(follower, 102)
    await expect(follower.get_by_role("link", name="Start a new run")).to_be_visible()
    await expect(follower.locator("#state")).to_have_text("Ended")


@pytest.mark.parametrize("host", ["rebound.example.test", "127.0.0.1"])
async def test_it_is_shown_at_home_only(client: httpx.AsyncClient, host: str) -> None:
    """Elsewhere than on a local stack neither the page nor its button is there, under whatever name."""
    headers = {"host": host}
    assert (await client.get("/demo/progress", headers=headers)).status_code == 404
    assert (await client.post("/demo/progress/events", headers=headers, json={})).status_code == 404


async def test_its_button_is_for_the_demo_tenant(home: str) -> None:
    """A stranger's call at home is refused, and a body that is none of ours explained."""
    async with httpx.AsyncClient(base_url=home) as caller:
        assert (await caller.post("/demo/progress/events", json={})).status_code == 401
        await caller.get("/demo/progress")
        own = {"origin": home}
        assert (await caller.post("/demo/progress/events", json={"count": 201}, headers=own)).status_code == 422
        assert (await caller.post("/demo/progress/events", json={"count": 2}, headers=own)).json()["last_seq"] == 2

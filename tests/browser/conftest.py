"""Chromium, and people who use it."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, async_playwright, expect

from gateway.auth.sessions import LOOPBACK_COOKIE
from tests.browser.people.person import Person
from tests.product import ROOT, Product
from tests.support import material
from tests.support.ci import skip_or_fail
from tests.tenants import Tenant

CHROMIUM = "chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # Without these it calls its maker at every start.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    # A microphone that beeps.
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
# What a page keeps on the device costs each browser its fetching: only the tests that are about it allow that.
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}, "service_workers": "block"}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
WAIT_MS = 20_000


OpenPerson = Callable[..., Awaitable[Person]]


def require(*programs: str) -> None:
    """Skip the test with what to install, or fail it in CI, when one of Debian's packages is missing."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        skip_or_fail(f"needs Debian's {', '.join(missing)}")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start Debian's Chromium; without it the test is skipped, and fails in CI."""
    require(CHROMIUM)
    expect.set_options(timeout=WAIT_MS)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=list(FLAGS))
        yield chromium
        await chromium.close()


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where pictures go: SCOPEKIT_SCREENSHOTS when set, else the test's own directory."""
    directory = ROOT / (os.environ.get("SCOPEKIT_SCREENSHOTS") or tmp_path)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@pytest.fixture
async def open_person(browser: Browser, shots: Path) -> AsyncIterator[OpenPerson]:
    """Open a browser for somebody; at the end nobody may have met an error or left this machine."""
    people: list[Person] = []
    async with AsyncExitStack() as contexts:

        async def open_person(**options: Any) -> Person:
            context = await contexts.enter_async_context(await browser.new_context(**(DESKTOP | options)))
            context.set_default_timeout(WAIT_MS)
            people.append(await Person.at(context, shots))
            return people[-1]

        yield open_person
    assert [complaint for person in people for complaint in person.complaints] == []


@pytest.fixture
async def contractor(open_person: OpenPerson, server: Product, tenant: Tenant) -> Person:
    """Sign a contractor in and open the console."""
    return await sign_in(await open_person(), server, tenant)


async def sign_in(person: Person, server: Product, tenant: Tenant) -> Person:
    """Give the browser the session cookie and open the console."""
    return await sign_in_at(person, server.url, tenant)


async def sign_in_at(person: Person, url: str, tenant: Tenant) -> Person:
    """Do so at another address of the gateway."""
    cookie = {"name": LOOPBACK_COOKIE, "value": tenant.session, "url": url, "httpOnly": True, "sameSite": "Lax"}
    await person.page.context.add_cookies([cookie])  # type: ignore[list-item]
    await person.page.goto(url)
    return person


@pytest.fixture
async def api(server: Product, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    """Call the same server as the contractor's other device does."""
    async with httpx.AsyncClient(base_url=server.url, headers=tenant.headers) as caller:
        yield caller


@pytest.fixture(scope="session")
def captured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Make a JPEG, a HEIC and a spoken WebM/Opus note, once."""
    require("espeak-ng", "ffmpeg")
    directory = tmp_path_factory.mktemp("captured")
    return {
        "jpeg": material.jpeg_photo(directory / "Hallway wall.jpg"),
        "heic": material.heic_photo(directory / "IMG_2201.heic"),
        "voice": material.voice_note(directory / "Walkthrough.webm"),
    }

"""In production, over TLS through the shipped nginx: from an empty database to a company at work, without SQL."""

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from devstack.stack import Endpoints
from gateway.auth.sessions import SECURE_COOKIE
from tests.browser.conftest import CHROMIUM, FLAGS, WAIT_MS, require
from tests.browser.test_passkeys import add_authenticator
from tests.deploy.own import own_services
from tests.deploy.proxies.nginx import PROGRAM, configure, nginx
from tests.product import free_port, start_product
from tests.realtime.feed.watcher import is_open, path, watch
from tests.stack import Services
from tests.support.ci import skip_or_fail
from tests.support.command import answer
from tests.support.servers.mail_catcher import Catcher, catch_mail

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

# A second is the promise; a busy machine may take another.
OUT_WITHIN_SECONDS = 2


@dataclass(frozen=True)
class Site:
    """The product as the world reaches it."""

    url: str
    trust: ssl.SSLContext
    mail: Catcher
    services: Services
    public: dict[str, Any]


@pytest.fixture(scope="module")
def site(stack: Endpoints, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run nginx, gateway and worker in production on an empty database."""
    if PROGRAM is None:
        skip_or_fail("nginx is not installed: apt-get install nginx-light")
    services, directory, port = own_services(stack, request), tmp_path_factory.mktemp("site"), free_port()
    main, tls_port, cert = configure(directory, port)
    trust = ssl.create_default_context(cafile=str(cert))
    with catch_mail(free_port()) as mail:
        url = f"https://localhost:{tls_port}"
        public = {"ENVIRONMENT": "production", "PUBLIC_URL": url, "MAIL_URL": mail.url, "JWT_SECRETS": ""}
        with start_product(services, directory, PORT=str(port), **public), nginx(main):
            yield Site(url, trust, mail, services, public)


@pytest.fixture
async def chromium(site: Site, tmp_path: Path) -> AsyncIterator[Browser]:
    """Start Chromium, which trusts the site's certificate as if an authority had signed it."""
    require(CHROMIUM)
    expect.set_options(timeout=WAIT_MS)
    async with async_playwright() as playwright:
        flags = (*FLAGS, "--ignore-certificate-errors")
        started = await playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=list(flags))
        yield started
        await started.close()


async def mail_to(site: Site, address: str, before: int) -> None:
    """Wait for a mail to an address: the worker sends it."""
    async with asyncio.timeout(30):
        while not any(mail["to"] == address for mail in site.mail.mails[before:]):  # noqa: ASYNC110 - SMTP tells nobody
            await asyncio.sleep(0.02)


async def open_page(chromium: Browser, site: Site) -> Page:
    """Open a browser of a person's own."""
    context = await chromium.new_context(base_url=site.url, ignore_https_errors=True)
    context.set_default_timeout(WAIT_MS)
    return await context.new_page()


async def sign_in_by_code(page: Page, site: Site, address: str) -> None:
    """Ask for a code, read the mail, and type it."""
    before = len(site.mail.mails)
    await page.goto("/sign-in?next=/company/you")
    await page.get_by_label("Email").fill(address)
    await page.get_by_role("button", name="Send me a code").click()
    await mail_to(site, address, before)
    await page.get_by_label("Code").fill(site.mail.code())
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("heading", name="Where you are signed in")).to_be_visible()


async def cookie_of(context: BrowserContext) -> str:
    """What the browser sends for its session, which no script can read and no plain connection carries."""
    [kept] = [cookie for cookie in await context.cookies() if cookie["name"] == SECURE_COOKIE]
    assert (kept["secure"], kept["httpOnly"], kept["sameSite"]) == (True, True, "Lax")
    return f"{SECURE_COOKIE}={kept['value']}"


async def test_from_an_empty_database_to_a_company_at_work(site: Site, chromium: Browser) -> None:
    """Company, owner, code, passkey, member, visit; and the removed member is out, the stream too."""
    made = answer(site.services, "company", "create", "Acme Roofing", "--owner", "owner@example.com", **site.public)
    assert made["mailed"]

    owner = await open_page(chromium, site)
    await owner.goto(site.mail.link())
    await owner.get_by_role("button", name="Join").click()
    await expect(owner.locator("#tenant-name")).to_have_text("Acme Roofing")
    await owner.goto("/company/you")
    await owner.get_by_role("button", name="Sign out").click()
    await sign_in_by_code(owner, site, "owner@example.com")

    await add_authenticator(owner)
    await owner.get_by_label("Name of this device").fill("Office computer")
    await owner.get_by_role("button", name="Add a passkey").click()
    await expect(owner.get_by_text("Office computer", exact=True)).to_be_visible()
    await owner.get_by_role("button", name="Sign out").click()
    await owner.get_by_role("button", name="Sign in with a passkey").click()

    await expect(owner.locator("#tenant-name")).to_have_text("Acme Roofing")
    before = len(site.mail.mails)
    await owner.goto("/company/people")
    await owner.get_by_label("Email").fill("member@example.com")
    await owner.get_by_role("button", name="Invite").click()
    await mail_to(site, "member@example.com", before)

    member = await open_page(chromium, site)
    await member.goto(site.mail.link())
    await member.get_by_role("button", name="Join").click()
    await expect(member.locator("#tenant-name")).to_have_text("Acme Roofing")
    visit = await member.evaluate(
        """async () => {
            const body = JSON.stringify({ title: "Ridge repair" });
            const headers = { "content-type": "application/json" };
            return (await (await fetch("/v1/visits", { method: "POST", headers, body })).json()).id;
        }"""
    )
    cookie = await cookie_of(member.context)
    async with watch(site.url, path(visit), headers={"cookie": cookie}, verify=site.trust) as watcher:
        await watcher.until(is_open)
        row = owner.locator("li", has_text="member@example.com")
        await owner.goto("/company/people")
        await row.get_by_text("Remove", exact=True).click()
        await row.get_by_role("button", name="Remove member@example.com").click()
        async with asyncio.timeout(OUT_WITHIN_SECONDS):
            await watcher.until_closed()
        assert watcher.named("end")[-1].json["reason"] == "revoked"
    status = await member.evaluate("fetch('/v1/me').then((answer) => answer.status)")
    assert status == 403
    await member.goto("/company/you")
    await expect(member.get_by_text("You belong to no company.")).to_be_visible()

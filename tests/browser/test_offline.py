"""The queue of files on the phone: through dead spots, reloads and restarts of the browser."""

import asyncio
import hashlib
import json
import os
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Locator, Route, async_playwright, expect

from gateway.auth.sessions import LOOPBACK_COOKIE
from gateway.pages.shell import shell
from tests.browser.conftest import CHROMIUM, DESKTOP, FLAGS, PHONE, WAIT_MS, OpenPerson, require, sign_in, sign_in_at
from tests.browser.people.console import Console
from tests.browser.people.person import Person
from tests.product import Product
from tests.support.servers.proxy import Proxy, proxy_to
from tests.tenants import Tenant

if TYPE_CHECKING:
    import asyncpg

pytestmark = pytest.mark.browser

NAME = "Hallway wall.jpg"

# As `static/uploads/recorder.js` has it.
PIECE_MS = 3000
_SENT = "SELECT count(*) FROM recording_chunks WHERE visit_id = $1"
# Whether a piece after the first one waits on the device.
_WAITS = """
() => new Promise((done) => {
  const asked = indexedDB.open("scopekit");
  asked.onsuccess = () => {
    const keys = asked.result.transaction("chunks").objectStore("chunks").getAllKeys();
    keys.onsuccess = () => { asked.result.close(); done(keys.result.some(([, number]) => number > 1)); };
  };
})
"""
_READS_NOTHING = """
() => {
  const { getAll } = IDBObjectStore.prototype;
  IDBObjectStore.prototype.getAll = () => { throw new DOMException("", "UnknownError"); };
  globalThis.readAgain = () => { IDBObjectStore.prototype.getAll = getAll; };
}
"""
_KEEPS_NOTHING = """
() => { IDBObjectStore.prototype.put = () => { throw new DOMException("", "QuotaExceededError"); }; }
"""
_TAKES_THE_SHELF = """
() => new Promise((done, failed) => {
  const asked = indexedDB.deleteDatabase("scopekit");
  asked.onsuccess = () => done();
  asked.onblocked = () => failed(new Error("blocked"));
})
"""
# As a version without "chunks" did, which does not hear that another one waits.
_OPENS_AN_OLDER_SHELF = """
() => new Promise((done) => {
  indexedDB.deleteDatabase("scopekit").onsuccess = () => {
    const asked = indexedDB.open("scopekit", 1);
    asked.onsuccess = () => done((globalThis.held = asked.result).version);
  };
})
"""
_KEPT = """
async () => {
  const found = {};
  for (const name of await caches.keys()) {
    const cache = await caches.open(name);
    for (const request of await cache.keys()) {
      const answer = await cache.match(request, { ignoreVary: true });
      (found[name] ??= {})[new URL(request.url).pathname] = JSON.stringify([...answer.headers]);
    }
  }
  return found;
}
"""


@pytest.fixture
def large(captured: dict[str, Path], tmp_path: Path) -> Path:
    """Write a photo of 12 MB: a real one with much before its picture, in comments, as cameras write previews."""
    path = tmp_path / "Whole roof.jpg"
    photo, comment = captured["jpeg"].read_bytes(), b"\xff\xfe" + (60_002).to_bytes(2) + os.urandom(60_000)
    path.write_bytes(photo[:2] + comment * 200 + photo[2:])
    return path


@pytest.fixture
async def line(server: Product) -> AsyncIterator[Proxy]:
    """Lay a line to the gateway that can break."""
    async with proxy_to(server.url) as proxy:
        yield proxy


async def _held(api: httpx.AsyncClient, console: Console) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.get(f"/v1/visits/{console.visit_id}/media")).json()["media"]
    return found


async def _refuse(route: Route) -> None:
    await route.abort()


async def test_what_was_added_without_signal_survives_a_reload(
    contractor: Person, api: httpx.AsyncClient, captured: dict[str, Path]
) -> None:
    """Saved on the device, said to be safe, taken up by the page that is loaded next, sent under its first id."""
    contractor.expects_refusals = True
    console, page = Console(contractor), contractor.page
    await console.new_visit("Cellar")
    await page.context.set_offline(True)
    await console.add_files(captured["jpeg"], captured["voice"])
    for name in (NAME, "Walkthrough.webm"):
        await expect(console.card(name)).to_contain_text("Saved on this device")
    await expect(page.locator("#unsaved-note")).to_contain_text("You can close this page: 2 files are saved")
    await contractor.shoot("offline-saved")
    ids = {await console.card(name).get_attribute("data-media-id") for name in (NAME, "Walkthrough.webm")}
    await page.route("**/v1/uploads", _refuse)
    await page.context.set_offline(False)
    await expect(console.card(NAME)).to_contain_text("Trying again")
    await page.reload()
    await expect(console.card(NAME)).to_be_visible()
    await page.unroute("**/v1/uploads")
    await console.see_stored(NAME, "Walkthrough.webm")
    await expect(page.locator("#unsaved-note")).to_have_text("Everything is uploaded. You can close this page.")
    assert {medium["id"] for medium in await _held(api, console)} == ids


async def test_a_line_that_breaks_in_mid_upload_costs_no_byte_twice(
    open_person: OpenPerson,
    line: Proxy,
    tenant: Tenant,
    api: httpx.AsyncClient,
    large: Path,
    admin: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    """The card counts on from where it stood, the file arrives whole, and the office hears that it was not easy."""
    person = await sign_in_at(await open_person(**PHONE), line.url, tenant)
    person.expects_refusals = True
    console = Console(person)
    await console.new_visit("Attic")
    chance = random.Random(5)
    line.cut()
    line.mend()
    line.allowances = [chance.randrange(1_000_000, 4_000_000) for _ in range(9)]
    await console.add_files(large)
    await expect(console.card(large.name)).to_contain_text("Uploading")
    await person.shoot("phone-uploading")
    await expect(console.card(large.name).get_by_text("Stored", exact=True)).to_be_visible(timeout=3 * WAIT_MS)
    (medium,) = await _held(api, console)
    assert medium["sha256"] == await asyncio.to_thread(lambda: hashlib.sha256(large.read_bytes()).hexdigest())
    async with asyncio.timeout(20):
        while not (events := await _sync_events(admin, console)):  # noqa: ASYNC110 - told after the card says so
            await asyncio.sleep(0.05)
    assert events[-1]["payload"]["media_id"] == medium["id"]
    assert events[-1]["payload"]["attempts"] > 0


async def _sync_events(admin: "asyncpg.Connection[asyncpg.Record]", console: Console) -> list[Any]:
    return await admin.fetch(
        "SELECT payload FROM visit_sync_events WHERE visit_id = $1 AND event = 'upload_failed' ORDER BY created_at",
        console.visit_id,
    )


async def test_the_queue_survives_a_restart_of_the_browser(
    server: Product, tenant: Tenant, api: httpx.AsyncClient, captured: dict[str, Path], tmp_path: Path
) -> None:
    """Closed in a dead spot and opened at home: what was saved is sent."""
    profile = tmp_path / "profile"
    async with _browser(profile) as person:
        console = Console(await sign_in(person, server, tenant))
        await console.new_visit("Dead spot")
        await person.page.context.set_offline(True)
        await console.add_files(captured["jpeg"])
        await expect(console.card(NAME)).to_contain_text("Saved on this device")
        media_id = await console.card(NAME).get_attribute("data-media-id")
        address = person.page.url
    async with _browser(profile) as person:
        console = Console(await sign_in(person, server, tenant))
        await person.page.goto(address)
        await console.see_stored(NAME)
        assert [medium["id"] for medium in await _held(api, console)] == [media_id]


async def test_the_next_person_at_this_device_does_not_send_it(
    contractor: Person, server: Product, other_tenant: Tenant, captured: dict[str, Path]
) -> None:
    """A shelf is one person's: another one's sign-in neither shows nor sends what lies there."""
    contractor.expects_refusals = True
    console, page = Console(contractor), contractor.page
    await console.new_visit("Mine")
    await page.route("**/v1/uploads", _refuse)
    await console.add_files(captured["jpeg"])
    await expect(console.card(NAME)).to_contain_text("Trying again")
    await page.unroute("**/v1/uploads")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    await page.goto("about:blank")
    await sign_in(contractor, server, other_tenant)
    await Console(contractor).new_visit("Theirs")
    await expect(page.locator("#unsaved-note")).to_be_hidden()
    assert not [url for url in requests if "/v1/uploads" in url]


async def test_the_same_photo_added_twice_is_sent_once(
    contractor: Person, api: httpx.AsyncClient, captured: dict[str, Path]
) -> None:
    """The visit is asked first whether it holds these bytes; the second card becomes the first one."""
    console = Console(contractor)
    await console.new_visit("Twice")
    await console.add_files(captured["jpeg"])
    await console.see_stored(NAME)
    async with contractor.page.expect_response("**/media/check"):
        await console.add_files(captured["jpeg"])
    await expect(console.card(NAME)).to_have_count(1)
    await console.see_stored(NAME)
    assert len(await _held(api, console)) == 1


async def test_an_answer_that_was_cut_off_is_asked_for_again(contractor: Person, captured: dict[str, Path]) -> None:
    """Half of an answer, or a hotel's sign-in page in its place, says nothing against the file."""
    console, page = Console(contractor), contractor.page
    await console.new_visit("Hotel")
    cut = ['{"present": [', "<html>Welcome</html>"]

    async def cut_off(route: Route) -> None:
        await (route.fulfill(body=cut.pop()) if cut else route.continue_())

    await page.route("**/media/check", cut_off)
    await console.add_files(captured["jpeg"])
    await console.see_stored(NAME)
    assert cut == []


@pytest.mark.parametrize("status", [404, 413])
async def test_what_may_be_taken_later_is_sent_by_the_next_page(
    contractor: Person, captured: dict[str, Path], status: int
) -> None:
    """Switched off, or no room left today: the card says why, and asking again later is enough."""
    contractor.expects_refusals = True
    console, page = Console(contractor), contractor.page
    await console.new_visit("Not today")
    problem = json.dumps({"title": "Not now", "detail": "Come back later.", "quota": 1})

    async def not_today(route: Route) -> None:
        await route.fulfill(status=status, body=problem, content_type="application/problem+json")

    await page.route("**/v1/uploads", not_today)
    await console.add_files(captured["jpeg"])
    await expect(console.card(NAME)).to_contain_text("Not uploaded. Come back later.")
    await page.unroute("**/v1/uploads")
    await page.reload()
    await console.see_stored(NAME)


async def test_what_the_server_refused_may_be_tried_again(contractor: Person, captured: dict[str, Path]) -> None:
    """A reload does not send it again by itself; the person may."""
    contractor.expects_refusals = True
    console, page = Console(contractor), contractor.page
    await console.new_visit("Refused")

    async def refused(route: Route) -> None:
        problem = '{"title": "Damaged", "detail": "It cannot be read."}'
        await route.fulfill(status=422, body=problem, content_type="application/problem+json")

    await page.route("**/v1/uploads", refused)
    await console.add_files(captured["jpeg"])
    await expect(console.card(NAME)).to_contain_text("Needs attention: Damaged")
    await page.unroute("**/v1/uploads")
    await page.reload()
    await expect(console.card(NAME)).to_contain_text("Needs attention: Damaged")
    await console.card(NAME).get_by_role("button", name="Try again").click()
    await console.see_stored(NAME)


async def _keeps_the_console(person: Person) -> None:
    await person.page.evaluate("() => navigator.serviceWorker.ready.then(() => null)")


async def test_a_page_that_is_loaded_without_signal_is_there_with_its_files(
    open_person: OpenPerson, server: Product, tenant: Tenant, api: httpx.AsyncClient, captured: dict[str, Path]
) -> None:
    """The phone threw the page away in the cellar: it comes back, takes more, and sends it all once there is signal."""
    person = await sign_in(await open_person(**PHONE, service_workers="allow"), server, tenant)
    person.expects_refusals = True
    console, page = Console(person), person.page
    await console.new_visit("Cellar")
    await console.write_notes("Damp wall, 12 ft")
    await _keeps_the_console(person)
    await page.context.set_offline(True)
    await console.add_files(captured["jpeg"])
    await expect(console.card(NAME)).to_contain_text("Saved on this device")
    await page.reload()
    await expect(page.get_by_role("heading", level=1, name="Cellar")).to_be_visible()
    await expect(console.card(NAME)).to_be_visible()
    await expect(page.get_by_text("No signal.")).to_be_visible()
    await expect(page.get_by_role("textbox", name="Notes")).to_be_hidden()
    await console.add_files(captured["voice"])
    await expect(page.locator("#unsaved-note")).to_contain_text("You can close this page: 2 files are saved")
    await person.shoot("phone-loaded-offline", full=True)
    await page.context.set_offline(False)
    await console.see_stored(NAME, "Walkthrough.webm")
    await expect(page.get_by_role("textbox", name="Notes")).to_have_value("Damp wall, 12 ft")
    await expect(page.get_by_text("No signal.")).to_be_hidden()
    held = {medium["original_name"]: medium["sequence"] for medium in await _held(api, console)}
    assert held == {NAME: 1, "Walkthrough.webm": 2}


async def test_what_was_added_without_signal_is_not_sent_as_somebody_else(
    open_person: OpenPerson, server: Product, tenant: Tenant, other_tenant: Tenant, captured: dict[str, Path]
) -> None:
    """The page opened as whoever was here last; the server says that it is another by now, and the page is theirs."""
    person = await sign_in(await open_person(service_workers="allow"), server, tenant)
    person.expects_refusals = True
    console, page = Console(person), person.page
    await console.new_visit("Mine")
    await _keeps_the_console(person)
    await page.context.set_offline(True)
    await page.reload()
    await console.add_files(captured["jpeg"])
    await expect(console.card(NAME)).to_contain_text("Saved on this device")
    cookie = {"name": LOOPBACK_COOKIE, "value": other_tenant.session, "url": server.url}
    await page.context.add_cookies([cookie])  # type: ignore[list-item]
    requests: list[str] = []
    page.on("request", lambda request: requests.append(urlsplit(request.url).path))
    async with page.expect_event("load"):
        await page.context.set_offline(False)
    await Console(person).new_visit("Theirs")
    assert not [path for path in requests if path.endswith("/media/check") or path == "/v1/uploads"]


async def test_a_server_that_restarts_is_a_dead_spot(contractor: Person, captured: dict[str, Path]) -> None:
    """A proxy's 503 to everything: the page opens with what is on the device, and goes on by itself."""
    contractor.expects_refusals = True
    console, page = Console(contractor), contractor.page
    await console.new_visit("Deploy")

    async def away(route: Route) -> None:
        await route.fulfill(status=503)

    await page.route("**/v1/**", away)
    await page.reload()
    await expect(page.get_by_role("heading", level=1, name="Deploy")).to_be_visible()
    await console.add_files(captured["jpeg"])
    await expect(console.card(NAME)).to_be_visible()
    await page.unroute("**/v1/**")
    await console.see_stored(NAME)


async def test_a_tab_of_an_older_version_is_named_and_not_waited_for(
    contractor: Person, captured: dict[str, Path]
) -> None:
    """What is saved cannot be reached while it is open: the page says so, and works with signal."""
    console, page = Console(contractor), contractor.page
    await console.new_visit("Two tabs")
    older = await page.context.new_page()
    await older.goto(page.url.partition("#")[0])
    await expect(older.get_by_role("button", name="New visit").first).to_be_visible()
    await older.evaluate(_OPENS_AN_OLDER_SHELF)
    await page.reload()
    await expect(page.get_by_role("alert")).to_contain_text("ScopeKit is open in an older tab")
    await console.add_files(captured["jpeg"])
    await console.see_stored(NAME)


async def test_a_newer_version_does_not_wait_for_this_one(contractor: Person, captured: dict[str, Path]) -> None:
    """Its tab gets the shelf at once; this page opens it again when it has something to keep."""
    console, page = Console(contractor), contractor.page
    await console.new_visit("Old tab")
    newer = await page.context.new_page()
    await newer.goto(page.url.partition("#")[0])
    await expect(newer.get_by_role("button", name="New visit").first).to_be_visible()
    await newer.evaluate(_TAKES_THE_SHELF)
    await page.context.set_offline(True)
    await console.add_files(captured["jpeg"])
    await expect(page.locator("#unsaved-note")).to_contain_text("1 file is saved on this device")


async def test_only_the_console_itself_is_kept(
    open_person: OpenPerson, server: Product, tenant: Tenant, captured: dict[str, Path]
) -> None:
    """The page with its policy, its scripts and styles: no answer of the API, no photo, no token."""
    person = await sign_in(await open_person(service_workers="allow"), server, tenant)
    console = Console(person)
    await _keeps_the_console(person)
    await person.page.reload()
    await console.new_visit("Kept")
    await console.add_files(captured["jpeg"])
    await console.see_stored(NAME)
    kept: dict[str, dict[str, str]] = await person.page.evaluate(_KEPT)
    assert list(kept) == [f"shell-{shell().version}"]
    (answers,) = kept.values()
    assert set(answers) == {"/", *shell().files}
    assert "default-src 'self'" in answers["/"]
    assert tenant.token() not in str(kept)


async def test_a_deploy_shows_at_the_next_load(open_person: OpenPerson, server: Product, tenant: Tenant) -> None:
    """A kept console hides no newer one: the server's page comes, and none of its files is an older one."""
    person = await sign_in(await open_person(service_workers="allow"), server, tenant)
    await _keeps_the_console(person)
    old = await person.page.evaluate("() => fetch('/static/console/console.js').then((answer) => answer.text())")

    async def newer_page(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, headers=answer.headers | {"etag": '"newer"'})

    async def newer_file(route: Route) -> None:
        await route.fulfill(body=f"document.body.dataset.version = 'newer';{old}", content_type="text/javascript")

    await person.page.context.route(lambda url: urlsplit(url).path == "/", newer_page)
    await person.page.context.route("**/static/console/console.js", newer_file)
    await person.page.reload()
    await expect(person.page.locator("body")).to_have_attribute("data-version", "newer")


async def test_a_recording_survives_the_page_it_is_made_on(
    contractor: Person, api: httpx.AsyncClient, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Cut off in mid-sentence, it is there up to its last piece: what had gone up, and what only the phone had."""
    contractor.expects_refusals = True
    console, page = Console(contractor), contractor.page
    await console.new_visit("Spoken on the roof")
    address = page.url
    await _record(console, admin)
    await page.context.route("**/chunks", _refuse)
    await _until(lambda: page.evaluate(_WAITS))
    await page.close()
    await page.context.unroute("**/chunks")
    contractor.page = await page.context.new_page()
    await contractor.page.goto(address)
    note = contractor.page.get_by_role("list", name="Recordings").get_by_role("listitem")
    await expect(note.get_by_text("Stored", exact=True)).to_be_visible()
    (medium,) = await _held(api, Console(contractor))
    assert medium["status"] == "stored"
    assert medium["duration_ms"] > PIECE_MS * 1.5


async def _record(console: Console, admin: "asyncpg.Connection[asyncpg.Record]") -> Locator:
    """Speak until the server has a piece; returns the note's card."""
    await console.page.get_by_role("button", name="Voice note").click()
    await _until(lambda: admin.fetchval(_SENT, console.visit_id))
    return console.page.get_by_role("list", name="Recordings").get_by_role("listitem")


async def test_a_recording_that_was_begun_is_never_taken_for_nothing(
    contractor: Person, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """A server that knows of no such recording, though it had a piece, is asked again: the card stays and says so."""
    contractor.expects_refusals = True
    console, page = Console(contractor), contractor.page
    await console.new_visit("Spoken in the attic")
    note = await _record(console, admin)

    async def switched_off(route: Route) -> None:
        await route.fulfill(status=404, body='{"title": "Not found"}', content_type="application/problem+json")

    await page.route("**/finalize", switched_off)
    await page.get_by_role("button", name="Stop and keep").click()
    await expect(note).to_contain_text("Not uploaded")
    await page.unroute("**/finalize")
    await note.get_by_role("button", name="Try again").click()
    await expect(note.get_by_text("Stored", exact=True)).to_be_visible()


async def test_a_recording_that_the_device_cannot_keep_is_not_called_safe(contractor: Person) -> None:
    """A full device without signal: what was said is in this page alone."""
    contractor.expects_refusals = True
    console, page = Console(contractor), contractor.page
    await console.new_visit("Full phone")
    await page.route("**/chunks", _refuse)
    await page.evaluate(_KEEPS_NOTHING)
    await page.get_by_role("button", name="Voice note").click()
    await expect(page.locator("#unsaved-note")).to_have_text("Keep this page open. Your recording is not saved yet.")


async def test_a_recording_is_not_joined_without_what_cannot_be_read(contractor: Person) -> None:
    """A device that fails to give its pieces out is asked again: nothing was lost, so nothing is dropped."""
    contractor.expects_refusals = True
    console, page = Console(contractor), contractor.page
    await console.new_visit("Spoken in the cellar")
    await page.route("**/chunks", _refuse)
    await page.get_by_role("button", name="Voice note").click()
    await _until(lambda: page.evaluate(_WAITS))
    await page.evaluate(_READS_NOTHING)
    await page.unroute("**/chunks")
    await page.get_by_role("button", name="Stop and keep").click()
    note = page.get_by_role("list", name="Recordings").get_by_role("listitem")
    await expect(note).to_contain_text("Trying again")
    await page.evaluate("() => readAgain()")
    await expect(note.get_by_text("Stored", exact=True)).to_be_visible()


async def test_a_recording_that_has_grown_too_large_is_kept_up_to_there(
    contractor: Person, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """No more of it is taken: it ends by itself, says that it was cut, and what the server has becomes the note."""
    contractor.expects_refusals = True
    console, page = Console(contractor), contractor.page
    await console.new_visit("A long story")
    note = await _record(console, admin)

    async def too_large(route: Route) -> None:
        problem = '{"title": "Too large", "detail": "Files can be up to 100 MB."}'
        await route.fulfill(status=413, body=problem, content_type="application/problem+json")

    await page.route("**/chunks", too_large)
    await expect(note.get_by_text("Stored", exact=True)).to_be_visible()
    await expect(page.get_by_role("alert")).to_contain_text("Recording stopped: Too large")
    await expect(page.get_by_role("button", name="Voice note")).to_be_visible()


async def _until(true: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(40):
        while not await true():  # noqa: ASYNC110 - neither a database nor a page rings
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _browser(profile: Path) -> AsyncIterator[Person]:
    """Open a browser with a profile that stays."""
    require(CHROMIUM)
    expect.set_options(timeout=WAIT_MS)
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile, executable_path=shutil.which(CHROMIUM), args=list(FLAGS), **DESKTOP
        )
        person = await Person.at(context, profile)
        person.expects_refusals = True
        yield person
        await context.close()
    assert person.complaints == []

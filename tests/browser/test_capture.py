"""Capturing on site: bad signal, bad files, a microphone, a thumb."""

import asyncio
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Route, expect

from tests.browser.conftest import PHONE, OpenPerson, sign_in
from tests.browser.people.console import Console
from tests.browser.people.person import Person
from tests.gateway.uploads.files import files
from tests.gateway.uploads.files.test_conversion import video
from tests.product import Product
from tests.tenants import Tenant

pytestmark = pytest.mark.browser

# The browser asks, and waits for its `answer()`, which gives the states of the microphones that it handed out.
_ASKS_FOR_THE_MICROPHONE = """
() => {
  const media = navigator.mediaDevices, allow = Promise.withResolvers(), streams = [];
  const open = media.getUserMedia.bind(media);
  media.getUserMedia = (wish) => {
    streams.push(allow.promise.then(() => open(wish)));
    return streams.at(-1);
  };
  globalThis.answer = async () => {
    allow.resolve();
    const opened = await Promise.all(streams);
    await new Promise((done) => setTimeout(done)); // after whoever waited for them
    return opened.flatMap((stream) => stream.getTracks()).map((track) => track.readyState);
  };
}
"""

# WCAG 2.5.5: a target a thumb can hit.
TOUCH_PX = 44
_TARGETS = """
() => [...document.querySelectorAll("button, a, select, summary, label.tile, input:not([type=file])")]
  .map((target) => [target.id || target.textContent.trim(), target.getBoundingClientRect()])
  .filter(([, box]) => box.width > 0)
  .map(([name, box]) => [name, Math.min(box.width, box.height)])
"""


async def test_a_file_sent_without_signal_goes_up_when_it_is_back(
    contractor: Person, api: httpx.AsyncClient, captured: dict[str, Path]
) -> None:
    """The card says that it is safe; the file arrives once, under its first id."""
    contractor.expects_refusals = True
    console = Console(contractor)
    await console.new_visit("Basement without signal")
    await contractor.page.context.set_offline(True)
    await console.add_files(captured["jpeg"])
    await expect(console.card("Hallway wall.jpg")).to_contain_text("Saved on this device")
    await expect(contractor.page.get_by_text("Waiting for 1 upload to finish.")).to_be_visible()
    media_id = await console.card("Hallway wall.jpg").get_attribute("data-media-id")
    await contractor.page.context.set_offline(False)
    await console.see_stored("Hallway wall.jpg")
    held = await api.get(f"/v1/visits/{console.visit_id}/media")
    assert [medium["id"] for medium in held.json()["media"]] == [media_id]


async def test_a_file_that_is_not_what_it_says_is_refused_on_its_own_card(
    contractor: Person, captured: dict[str, Path], tmp_path: Path
) -> None:
    """A text named .jpg is refused with the reason; the photo beside it is stored all the same."""
    contractor.expects_refusals = True
    liar, spreadsheet = tmp_path / "liar.jpg", tmp_path / "prices.csv"
    liar.write_text("not a picture at all")
    spreadsheet.write_text("a,b")
    console = Console(contractor)
    await console.new_visit("Two bad files")
    await console.add_files(liar, spreadsheet, captured["jpeg"])
    await console.see_stored("Hallway wall.jpg")
    await expect(console.card("liar.jpg")).to_have_attribute("data-state", "refused")
    await expect(console.card("liar.jpg")).to_contain_text("This file is no photo or recording.")
    await expect(console.card("liar.jpg").get_by_role("button", name="Try again")).to_be_hidden()
    await expect(console.card("prices.csv")).to_contain_text("Photos can be JPEG, PNG, WebP or HEIC")
    await console.card("liar.jpg").get_by_role("button", name="Remove").click()
    await console.card("liar.jpg").get_by_text("Remove?").click()
    await expect(console.card("liar.jpg")).to_have_count(0)
    await contractor.shoot("refused")


async def test_a_voice_note_is_recorded_kept_and_played(contractor: Person) -> None:
    """The microphone's note shows its running time, is stored with its length, and plays."""
    console = Console(contractor)
    page = contractor.page
    await console.new_visit("Spoken on site")
    await page.get_by_role("button", name="Voice note").click()
    await expect(page.locator("#record-time")).to_have_text("0:01")
    await page.get_by_role("button", name="Stop and keep").click()
    note = page.get_by_role("list", name="Recordings").get_by_role("listitem")
    await expect(note.get_by_text("Stored", exact=True)).to_be_visible()
    await expect(note).to_contain_text("0:01")
    heard: float = await note.locator("audio").evaluate(
        """audio => new Promise((done) => {
          audio.addEventListener("timeupdate", () => audio.currentTime > 0 && done(audio.currentTime));
          audio.play();
        })"""
    )
    assert heard > 0


async def test_a_microphone_that_is_allowed_too_late_stays_off(contractor: Person) -> None:
    """Tapped twice, the browser asks once; when the visit is left before the answer, nothing listens."""
    console, page = Console(contractor), contractor.page
    await console.new_visit("Hesitating")
    await page.evaluate(_ASKS_FOR_THE_MICROPHONE)
    await page.get_by_role("button", name="Voice note").dblclick()
    await page.evaluate("() => (location.hash = '')")
    await expect(page.locator("#welcome")).to_be_visible()
    assert await page.evaluate("() => answer()") == ["ended"]
    await expect(page.locator("#recording")).to_be_hidden()


async def test_a_discarded_recording_leaves_nothing(contractor: Person) -> None:
    """Discard goes back to where it was, without a card."""
    console = Console(contractor)
    page = contractor.page
    await console.new_visit("Never mind")
    await page.get_by_role("button", name="Voice note").click()
    await page.get_by_role("button", name="Discard").click()
    await expect(page.get_by_role("button", name="Voice note")).to_be_focused()
    await expect(page.get_by_role("list", name="Recordings")).to_be_hidden()


async def test_notes_typed_right_before_leaving_are_kept(contractor: Person) -> None:
    """A page that goes away sends what was typed a moment ago."""
    console = Console(contractor)
    await console.new_visit("In a hurry")
    await contractor.page.get_by_role("textbox", name="Notes").fill("Two gutters, 40 lf each")
    await contractor.page.reload()
    await expect(contractor.page.get_by_role("textbox", name="Notes")).to_have_value("Two gutters, 40 lf each")


async def test_a_visit_is_deleted_and_restored(contractor: Person) -> None:
    """A second press deletes it; the bin gives it back."""
    console = Console(contractor)
    await console.new_visit("Not ours")
    page = contractor.page
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_role("button", name="Delete this visit?").click()
    await expect(page.get_by_role("heading", name="Walk the site")).to_be_visible()
    await expect(page.get_by_role("link", name="Not ours")).to_be_hidden()
    await page.get_by_role("link", name="Deleted visits").click()
    await page.get_by_role("button", name="Restore Not ours").click()
    await expect(page.get_by_text("No visits were deleted lately.")).to_be_visible()
    await page.get_by_role("link", name="ScopeKit").click()
    await page.get_by_role("link", name="Not ours").click()
    await expect(page.get_by_role("heading", name="Not ours")).to_be_visible()


async def test_a_photo_taken_by_another_device_appears(
    contractor: Person, api: httpx.AsyncClient, captured: dict[str, Path]
) -> None:
    """What a colleague's phone uploads to the same visit shows up by itself."""
    console = Console(contractor)
    await console.new_visit("Two of us")
    await expect(contractor.page.locator("#connection")).to_have_text("Live")
    headers = {"content-type": "image/jpeg", "x-media-id": str(uuid4()), "x-file-name": "theirs.jpg"}
    photo = captured["jpeg"].read_bytes()
    sent = await api.post(f"/v1/visits/{console.visit_id}/media", headers=headers, content=photo)
    assert sent.status_code == httpx.codes.CREATED
    await console.see_stored("theirs.jpg")


async def test_an_answer_that_is_older_than_an_upload_takes_nothing_away(
    contractor: Person, api: httpx.AsyncClient, captured: dict[str, Path]
) -> None:
    """A list of the media that was read before our own photo was stored, and comes after, leaves it on the page."""
    console = Console(contractor)
    await console.new_visit("Two at once")
    await expect(contractor.page.locator("#connection")).to_have_text("Live")
    read, stored = asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        if route.request.method != "GET":
            await route.continue_()
            return
        answer = await route.fetch()
        read.set()
        await stored.wait()
        await route.fulfill(response=answer)

    await contractor.page.route("**/v1/visits/*/media", late)
    headers = {"content-type": "image/jpeg", "x-media-id": str(uuid4()), "x-file-name": "theirs.jpg"}
    await api.post(
        f"/v1/visits/{console.visit_id}/media", headers=headers, content=captured["jpeg"].read_bytes() + b"\0"
    )
    async with asyncio.timeout(20):
        await read.wait()
    await console.add_files(captured["jpeg"])
    await console.see_stored("Hallway wall.jpg")
    stored.set()
    await console.see_stored("theirs.jpg", "Hallway wall.jpg")


async def test_every_button_is_large_enough_for_a_thumb(
    open_person: OpenPerson, server: Product, tenant: Tenant, captured: dict[str, Path]
) -> None:
    """On a phone, nothing to press is smaller than 44 px, and nothing hangs out of the page."""
    person = await sign_in(await open_person(**PHONE), server, tenant)
    console = Console(person)
    await console.new_visit("On the phone")
    await console.add_files(captured["jpeg"], captured["voice"])
    await console.see_stored("Hallway wall.jpg", "Walkthrough.webm")
    await person.shoot("phone-capture")
    targets: list[tuple[str, float]] = await person.page.evaluate(_TARGETS)
    assert [target for target in targets if target[1] < TOUCH_PX - 0.5] == []
    assert await _overhang(person) <= 0


async def test_a_long_word_in_a_label_stays_inside_its_card(
    open_person: OpenPerson, server: Product, tenant: Tenant, captured: dict[str, Path]
) -> None:
    """On the narrowest phone, a label without a space wraps and the page is no wider for it."""
    person = await sign_in(await open_person(viewport={"width": 320, "height": 640}), server, tenant)
    console = Console(person)
    await console.new_visit("Narrow")
    await console.add_files(captured["jpeg"])
    await console.see_stored("Hallway wall.jpg")
    await console.label("Hallway wall.jpg", "Supercalifragilistic" * 6)
    assert await _overhang(person) <= 0


async def _overhang(person: Person) -> int:
    """How many px the page is wider than its window; a phone's `innerWidth` grows along with the page."""
    overhang: int = await person.page.evaluate("() => document.documentElement.scrollWidth - screen.width")
    return overhang


async def test_a_video_and_a_damaged_recording_are_taken_and_told(contractor: Person, tmp_path: Path) -> None:
    """The video gives a recording and a photo; what is lost of the other recording stands on its card in seconds."""
    clip, note = tmp_path / "Crawl space.mov", tmp_path / "Note.aac"
    clip.write_bytes(video("mov"))
    damaged = bytearray(files.recording("adts", 11.0))
    damaged[len(damaged) // 2 : len(damaged) // 2 + 400] = bytes(400)
    note.write_bytes(damaged)
    console = Console(contractor)
    await console.new_visit("Filmed on site")
    await console.add_files(clip, note)
    await expect(contractor.page.locator("#recordings .card")).to_have_count(2)
    await expect(contractor.page.locator("#photos .card")).to_have_count(1)
    await expect(contractor.page.locator("#photos .card img")).to_have_js_property("naturalWidth", 320)
    await expect(console.card("Note.aac")).to_contain_text("s of this recording are damaged or missing")
    await contractor.shoot("filmed")

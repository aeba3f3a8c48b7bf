import asyncio
import hashlib
import io
import time
from typing import Any
from uuid import UUID

import httpx
import pillow_heif
import pytest
from PIL import Image

from config.settings import Settings
from jobs.kinds.thumbnails import open_thumbnails
from jobs.worker.worker import Worker
from store.errors import NotFound
from store.media import derivatives, media
from store.media.media import EDGES, derivative_key
from store.objects.objects import ObjectStore
from store.pool import Database
from tests.gateway.uploads.conftest import Upload, nothing_of
from tests.gateway.uploads.files import files
from tests.tenants import Tenant

WAITING = "SELECT count(*) FROM jobs WHERE job_type = 'photo_jpegs' AND status IN ('queued', 'running')"


@pytest.fixture(scope="module", autouse=True)
def _heic_can_be_opened_here() -> None:
    pillow_heif.register_heif_opener()


@pytest.fixture
def see(client: httpx.AsyncClient, tenant: Tenant) -> Any:
    """Give eyes that follow the redirect to the store, as a browser does."""

    async def get(media_id: str, query: str = "", **headers: str) -> httpx.Response:
        answer = await client.get(f"/v1/media/{media_id}/content{query}", headers=tenant.headers)
        if answer.status_code != 302:
            return answer
        assert answer.headers["cache-control"] == "private, no-store"
        async with httpx.AsyncClient() as browser:
            return await browser.get(answer.headers["location"], headers=headers)

    return get


def _is_near(pixel: Any, colour: tuple[int, int, int]) -> bool:
    return all(abs(a - b) < 40 for a, b in zip(pixel, colour, strict=True))


@pytest.mark.parametrize(("make", "sent_as"), [(files.jpeg, "image/jpeg"), (files.heic, "image/heic")])
@pytest.mark.parametrize(("size", "edge"), [("thumb", 400), ("view", 800)])
async def test_people_see_a_photo_upright_and_without_its_place(
    upload: Upload, see: Any, make: Any, sent_as: str, size: str, edge: int
) -> None:
    """A derivative is an upright JPEG without EXIF, GPS or comment, never larger than the original."""
    original = make()
    assert dict(Image.open(io.BytesIO(original)).getexif().get_ifd(0x8825))[1] == "N"
    medium = (await upload(original, sent_as)).json()
    assert (medium["width"], medium["height"]) == (600, 800)
    seen = await see(medium["id"], f"?size={size}")
    assert seen.headers["content-type"] == "image/jpeg"
    image = Image.open(io.BytesIO(seen.content))
    assert image.format == "JPEG"
    assert image.size == (edge * 3 // 4, edge)
    assert dict(image.getexif()) == {}
    assert not {"exif", "comment", "xmp", "icc_profile"} & image.info.keys()
    # Upright, the red quarter is on top.
    assert _is_near(image.getpixel((image.width // 2, 5)), files.RED)
    assert _is_near(image.getpixel((image.width // 2, image.height - 5)), files.BLUE)
    assert (await see(medium["id"])).content == original


@pytest.mark.parametrize(("make", "sent_as"), [(files.jpeg, "image/jpeg"), (files.heic, "image/heic")])
async def test_a_worker_makes_the_derivatives_before_anybody_asks(
    upload: Upload, make: Any, sent_as: str, service: Database, settings: Settings, objects: ObjectStore, admin: Any
) -> None:
    """Thumbnail and view, by a job that the photo's row queued; the visit's stream has heard nothing of it."""
    await admin.execute("DELETE FROM jobs")
    medium = (await upload(make(), sent_as)).json()
    await _make_all(service, settings.model_copy(update={"derivatives_ahead": True}), admin)
    async with service.as_system() as conn:
        row = await media.get(conn, UUID(medium["id"]))
    sizes = [Image.open(io.BytesIO(await objects.get(derivative_key(row, size)))).size for size in EDGES]
    assert sizes == [(300, 400), (600, 800)]
    told = await admin.fetch("SELECT type FROM processing_events WHERE visit_id = $1", row["visit_id"])
    assert [event["type"] for event in told] == ["media.stored"]


async def test_a_photo_deleted_while_it_is_developed_leaves_nothing(
    *,
    upload: Upload,
    client: httpx.AsyncClient,
    tenant: Tenant,
    app: Any,
    service: Database,
    objects: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever deleted it took the JPEGs there were; one that is ready only afterwards goes too."""
    medium = (await upload(files.png(), "image/png")).json()
    async with service.as_system() as conn:
        row = await media.get(conn, UUID(medium["id"]))
    decoder = app.state.context.decoder
    render = decoder.render

    async def render_slowly(*args: Any, **more: Any) -> bytes:
        jpeg: bytes = await render(*args, **more)
        assert (await client.delete(f"/v1/media/{medium['id']}", headers=tenant.headers)).status_code == 204
        return jpeg

    monkeypatch.setattr(decoder, "render", render_slowly)
    with pytest.raises(NotFound):
        await derivatives.ensure_derivative(objects, decoder, row, "thumb")
    assert await nothing_of(objects, tenant)


async def test_a_photo_that_cannot_be_opened_is_done_too(
    upload: Upload, service: Database, settings: Settings, admin: Any
) -> None:
    """A broken one is not queued, one that was deleted makes nothing: no job waits for what will never be."""
    await admin.execute("DELETE FROM jobs")
    await upload(files.jpeg()[:3000], "image/jpeg")
    gone = (await upload(files.png(), "image/png")).json()
    assert await admin.fetchval("SELECT count(*) FROM jobs WHERE job_type = 'photo_jpegs'") == 1
    await admin.execute("DELETE FROM site_visit_media WHERE id = $1", UUID(gone["id"]))
    assert await _make_all(service, settings.model_copy(update={"derivatives_ahead": True}), admin) == [{"made": 0}]


async def _make_all(service: Database, settings: Settings, admin: Any) -> list[dict[str, int]]:
    """Let a worker do what photos have queued; returns what came of each."""
    stop = asyncio.Event()
    async with open_thumbnails(settings, service) as make, asyncio.timeout(40):
        working = asyncio.create_task(Worker(service, {"photo_jpegs": make}, settings).run(stop))
        while await admin.fetchval(WAITING):  # noqa: ASYNC110 - a kind that does not speak tells nobody
            await asyncio.sleep(0.05)
        stop.set()
        await working
    return [row["result"] for row in await admin.fetch("SELECT result FROM jobs WHERE job_type = 'photo_jpegs'")]


async def test_a_derivative_is_made_once(
    upload: Upload, see: Any, objects: ObjectStore, service: Database, tenant: Tenant
) -> None:
    """The second look takes the JPEG from the store."""
    medium = (await upload(files.jpeg(), "image/jpeg")).json()
    await see(medium["id"], "?size=thumb")
    key = f"{tenant.id}/{medium['visit_id']}/{medium['id']}/thumb.jpg"
    assert key in await objects.keys(f"{tenant.id}/")
    await objects.put(key, b"kept", content_type="image/jpeg")
    assert (await see(medium["id"], "?size=thumb")).content == b"kept"


async def test_a_see_through_photo_gets_a_white_ground(upload: Upload, see: Any) -> None:
    """Transparency does not turn black."""
    medium = (await upload(files.png(), "image/png")).json()
    image = Image.open(io.BytesIO((await see(medium["id"], "?size=view")).content))
    assert image.size == (64, 48)
    assert _is_near(image.getpixel((1, 1)), (255, 255, 255))


async def test_a_recording_plays_by_ranges(upload: Upload, see: Any) -> None:
    """The signed URL answers a browser's range request with 206 and the audio's type."""
    body = files.recording()
    medium = (await upload(body, "audio/webm")).json()
    part = await see(medium["id"], range="bytes=100-199")
    assert (part.status_code, part.content) == (206, body[100:200])
    assert part.headers["content-type"] == "audio/webm"


@pytest.mark.parametrize(("query", "status"), [("?size=thumb", 404), ("?size=huge", 400)])
async def test_a_recording_has_no_picture(upload: Upload, see: Any, query: str, status: int) -> None:
    """A size of a recording is 404, a size that does not exist 400."""
    medium = (await upload(files.recording(), "audio/webm")).json()
    assert (await see(medium["id"], query)).status_code == status


async def test_a_broken_photo_says_so_instead_of_a_picture(upload: Upload, see: Any) -> None:
    """The reason is the one the visit shows; the original can still be had."""
    body = files.jpeg()[:3000]
    medium = (await upload(body, "image/jpeg")).json()
    answer = await see(medium["id"], "?size=thumb")
    assert (answer.status_code, answer.json()["detail"]) == (422, medium["problem"])
    assert (await see(medium["id"])).content == body


async def test_check_tells_what_is_missing_before_it_is_sent(
    upload: Upload, client: httpx.AsyncClient, tenant: Tenant, visit: str
) -> None:
    """Known hashes come with their medium; the others, each once, are missing."""
    medium = (await upload(files.png(), "image/png")).json()
    unknown = hashlib.sha256(b"other").hexdigest()
    answer = await client.post(
        f"/v1/visits/{visit}/media/check",
        json={"sha256": [medium["sha256"], unknown, unknown]},
        headers=tenant.headers,
    )
    assert answer.json() == {
        "missing": [unknown],
        "present": [{"sha256": medium["sha256"], "media_id": medium["id"]}],
    }


async def test_check_is_of_one_visit_and_takes_hashes_only(
    upload: Upload, client: httpx.AsyncClient, tenant: Tenant, visit: str, other_tenant: Tenant
) -> None:
    """What another visit holds is missing here; another tenant's visit is 404; a word is no hash."""
    sha256 = (await upload(files.png(), "image/png")).json()["sha256"]
    other = (await client.post("/v1/visits", json={}, headers=tenant.headers)).json()["id"]
    url = f"/v1/visits/{other}/media/check"
    answer = await client.post(url, json={"sha256": [sha256]}, headers=tenant.headers)
    assert answer.json()["missing"] == [sha256]
    answer = await client.post(url, json={"sha256": [sha256]}, headers=other_tenant.headers)
    assert answer.status_code == 404
    answer = await client.post(url, json={"sha256": ["photo"]}, headers=tenant.headers)
    assert answer.json()["errors"][0]["field"] == "sha256.0"


async def test_urls_are_signed_for_the_model(
    upload: Upload, client: httpx.AsyncClient, tenant: Tenant, visit: str
) -> None:
    """Each record has media_id, type, url and expires_at in ms, 600 s ahead; the URL gives the bytes."""
    medium = (await upload(files.png(), "image/png")).json()
    before = time.time()
    answer = await client.get(f"/v1/visits/{visit}/media/urls", headers=tenant.headers)
    (record,) = answer.json()["urls"]
    assert record.keys() == {"media_id", "type", "url", "expires_at"}
    assert (record["media_id"], record["type"]) == (medium["id"], "photo")
    assert record["expires_at"] / 1000 - before == pytest.approx(600, abs=3)
    assert "X-Amz-Expires=600" in record["url"]
    async with httpx.AsyncClient() as model:
        assert (await model.get(record["url"])).content == files.png()


async def test_a_signed_url_dies_with_its_ttl(objects: ObjectStore, tenant: Tenant) -> None:
    """One that lasts works, one of a second comes to be refused; unsigned, the bucket gives nothing at all."""
    key = f"{tenant.id}/ttl"
    await objects.put(key, b"private", content_type="image/png")
    lasting, short = await objects.presign_get(key, ttl=600), await objects.presign_get(key, ttl=1)
    async with httpx.AsyncClient() as anyone, asyncio.timeout(10):
        assert (await anyone.get(lasting)).content == b"private"
        assert (await anyone.get(lasting.partition("?")[0])).status_code == 403
        # Only time kills it, and nobody tells when.
        while (answer := await anyone.get(short)).status_code == 200:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert answer.status_code == 403
    assert "expired" in answer.text


async def test_labels_change(upload: Upload, client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant) -> None:
    """A label is replaced by its owner, and by nobody else."""
    url = f"/v1/media/{(await upload(files.png(), 'image/png')).json()['id']}"
    answer = await client.patch(url, json={"label": "12 squares, north"}, headers=tenant.headers)
    assert (answer.status_code, answer.json()["label"]) == (200, "12 squares, north")
    assert (await client.patch(url, json={"label": "mine"}, headers=other_tenant.headers)).status_code == 404
    assert (await client.patch(url, json={"label": "x" * 1001}, headers=tenant.headers)).status_code == 422
    assert (await client.patch(url, json={}, headers=tenant.headers)).status_code == 422


async def test_deleting_takes_row_and_objects(
    upload: Upload, client: httpx.AsyncClient, see: Any, objects: ObjectStore, service: Database, tenant: Tenant
) -> None:
    """The original and its derivatives go, the subscribers are told, and a second delete is 404."""
    medium = (await upload(files.jpeg(), "image/jpeg")).json()
    await see(medium["id"], "?size=thumb")
    url = f"/v1/media/{medium['id']}"
    assert (await client.delete(url, headers=tenant.headers)).status_code == 204
    assert not await objects.keys(f"{tenant.id}/")
    assert (await client.delete(url, headers=tenant.headers)).status_code == 404
    assert (await see(medium["id"])).status_code == 404
    async with service.as_system() as conn:
        types = await conn.fetch(
            "SELECT type FROM processing_events WHERE visit_id = $1 ORDER BY seq", medium["visit_id"]
        )
    assert [row["type"] for row in types] == ["media.stored", "media.removed"]


async def test_nobody_elses_media(upload: Upload, client: httpx.AsyncClient, other_tenant: Tenant) -> None:
    """Content and deletion of another tenant's medium are 404; without a token, 401."""
    url = f"/v1/media/{(await upload(files.png(), 'image/png')).json()['id']}"
    assert (await client.get(f"{url}/content", headers=other_tenant.headers)).status_code == 404
    assert (await client.delete(url, headers=other_tenant.headers)).status_code == 404
    assert (await client.get(f"{url}/content")).status_code == 401


async def test_media_are_listed_as_they_were_taken(
    upload: Upload, client: httpx.AsyncClient, tenant: Tenant, visit: str
) -> None:
    """By sequence, then by arrival; those without a sequence come last."""
    for sequence in ("2", "", "1"):
        more = {"x_sequence": sequence} if sequence else {}
        assert (await upload(files.png(), "image/png", **more)).status_code == 201
    listed = (await client.get(f"/v1/visits/{visit}/media", headers=tenant.headers)).json()["media"]
    assert [medium["sequence"] for medium in listed] == [1, 2, None]

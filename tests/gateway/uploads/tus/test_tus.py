"""tus 1.0, request by request: what is acknowledged is safe, and what cannot be done is said in tus's own numbers."""

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gateway.http import body
from store.objects.objects import MEDIA_BYTES, ObjectStore
from store.objects.spool import PART_BYTES, Spool
from store.uploads import resumables
from tests.gateway.uploads.conftest import nothing_of
from tests.gateway.uploads.files import files
from tests.gateway.uploads.tus.tus import CHUNK, Tus, checksum, metadata
from tests.tenants import Tenant


@pytest.fixture
def tus(client: httpx.AsyncClient, tenant: Tenant, visit: str) -> Tus:
    """Lend the tenant's hand."""
    return Tus(client, tenant.headers, visit)


@pytest.fixture
def large() -> bytes:
    """Return a JPEG with so much behind its end that it takes three parts."""
    photo = files.jpeg()
    return photo + os.urandom(2 * PART_BYTES + 777_777 - len(photo))


async def _media(tus: Tus) -> list[dict[str, Any]]:
    answer = await tus.client.get(f"/v1/visits/{tus.visit}/media", headers=tus.headers)
    found: list[dict[str, Any]] = answer.json()["media"]
    return found


async def test_a_file_comes_in_small_pieces_and_becomes_a_medium(
    tus: Tus, large: bytes, objects: ObjectStore, tenant: Tenant
) -> None:
    """Pieces far below S3's part limit add up to the file; only the medium's object is left of it."""
    media_id = files.new_id()
    url = await tus.begin(len(large), media_id=media_id, filename="Dach 1.jpg", sequence="7", label="Nord")
    at = 0
    while at < len(large):
        piece = large[at : at + 1_300_000]
        answer = await tus.patch(url, at, piece)
        assert answer.status_code == 204, answer.text
        at += len(piece)
        assert answer.headers["upload-offset"] == str(at)
    (medium,) = await _media(tus)
    assert medium["sha256"] == hashlib.sha256(large).hexdigest()
    assert (medium["id"], medium["original_name"], medium["sequence"], medium["label"]) == (
        media_id,
        "Dach 1.jpg",
        7,
        "Nord",
    )
    assert (medium["status"], medium["width"]) == ("stored", 600)
    assert len(await objects.keys(f"{tenant.id}/")) == 1
    assert await tus.offset(url) == len(large)


async def test_the_first_bytes_may_come_with_the_announcement(tus: Tus) -> None:
    """creation-with-upload: a small photo is one request."""
    answer = await tus.create(len(files.png()), "image/png", body=files.png())
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, str(len(files.png())))
    assert [medium["status"] for medium in await _media(tus)] == ["stored"]


async def test_another_gateway_goes_on_where_the_first_one_stopped(
    tus: Tus, large: bytes, settings: Any, tenant: Tenant
) -> None:
    """What one gateway acknowledged, parts and tail, the other one has."""
    from gateway.app import create_app

    url = await tus.begin(len(large))
    assert (await tus.patch(url, 0, large[: PART_BYTES + 99])).status_code == 204
    app = create_app(settings)
    async with app.router.lifespan_context(app) as state:

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            scope["state"] = dict(state or {})
            await app(scope, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(with_state), base_url="http://other.test") as caller:
            other = Tus(caller, tenant.headers, tus.visit)
            assert await other.offset(url) == PART_BYTES + 99
            assert (await other.patch(url, PART_BYTES + 99, large[PART_BYTES + 99 :])).status_code == 204
    (medium,) = await _media(tus)
    assert medium["sha256"] == hashlib.sha256(large).hexdigest()


async def test_what_is_spoken_here_is_told(tus: Tus) -> None:
    """OPTIONS names version, extensions, size and checksums, and needs no version or token itself."""
    answer = await tus.client.options("/v1/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-resumable"] == answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-max-size"] == str(MEDIA_BYTES)
    assert set(answer.headers["tus-extension"].split(",")) == {
        *("creation", "creation-with-upload", "termination", "checksum", "expiration")
    }
    assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256"


async def test_a_page_of_another_origin_may_use_it(tus: Tus) -> None:
    """CORS lets tus's headers in and out, for the origins that are listed."""
    origin = {"origin": "https://app.example.test"}
    asked = "tus-resumable,upload-length,upload-metadata,upload-offset,upload-checksum,content-type,authorization"
    preflight = await tus.client.options(
        "/v1/uploads",
        headers=origin | {"access-control-request-method": "PATCH", "access-control-request-headers": asked},
    )
    assert preflight.status_code == 200
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    answer = await tus.request("POST", "/v1/uploads", origin | {"upload-length": "0"})
    exposed = answer.headers["access-control-expose-headers"].lower()
    assert {"upload-offset", "location", "tus-resumable", "upload-expires"} <= set(exposed.split(", "))


async def test_another_version_is_412(tus: Tus) -> None:
    """The answer names the version to speak."""
    answer = await tus.request("POST", "/v1/uploads", {"tus-resumable": "0.2.2"})
    assert (answer.status_code, answer.headers["tus-version"]) == (412, "1.0.0")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"upload-length": "many"}, 400),
        ({"upload-length": "-1"}, 400),
        ({"upload-defer-length": "1"}, 400),
        ({"upload-length": "0"}, 422),
        ({"upload-length": str(MEDIA_BYTES + 1)}, 413),
        ({"upload-length": "9" * 400}, 413),
        ({"upload-length": "10"}, 400),
        ({"upload-length": "10", "upload-metadata": metadata(visit_id="x", filetype="image/png")}, 400),
        ({"upload-length": "10", "upload-metadata": metadata(visit_id=files.new_id(), filetype="text/html")}, 404),
        ({"upload-length": "10", "upload-metadata": metadata(visit_id=files.new_id(), filetype="image/png")}, 404),
        ({"upload-length": "10", "upload-metadata": "visit_id !!"}, 400),
        ({"upload-length": "10", "upload-metadata": "x" * 9000}, 400),
    ],
)
async def test_an_announcement_that_cannot_be_kept_is_refused(tus: Tus, headers: dict[str, str], status: int) -> None:
    """Each with what is wrong, and never a 500."""
    answer = await tus.request("POST", "/v1/uploads", headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["tus-resumable"] == "1.0.0"


async def test_a_wrong_offset_is_409(tus: Tus, large: bytes) -> None:
    """Behind, ahead or again: the upload stands where it stood, and the answer says where."""
    url = await tus.begin(len(large))
    await tus.patch(url, 0, large[:1000])
    for offset in (0, 999, 1001, len(large)):
        answer = await tus.patch(url, offset, large[:10])
        assert (answer.status_code, answer.json()["offset"]) == (409, 1000)
    assert await tus.offset(url) == 1000


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_a_bad_checksum_is_460_and_the_chunk_is_discarded(
    tus: Tus, large: bytes, algorithm: str, objects: ObjectStore, tenant: Tenant
) -> None:
    """Even one that filled whole parts, of which nothing stays; sent again and right, it counts."""
    url = await tus.begin(len(large))
    first, rest = large[:700_000], large[700_000:]
    assert (await tus.patch(url, 0, first, upload_checksum=checksum(first, algorithm))).status_code == 204
    wrong = await tus.patch(url, len(first), os.urandom(len(rest)), upload_checksum=checksum(rest, algorithm))
    assert (wrong.status_code, wrong.headers["tus-resumable"]) == (460, "1.0.0")
    assert not await objects.unfinished(f"{tenant.id}/")
    assert await tus.offset(url) == len(first)
    right = await tus.patch(url, len(first), rest, upload_checksum=checksum(rest, algorithm))
    assert right.status_code == 204
    (medium,) = await _media(tus)
    assert medium["sha256"] == hashlib.sha256(large).hexdigest()


@pytest.mark.parametrize("header", ["md5 AAAA", "sha1 ***", "sha1"])
async def test_a_checksum_that_cannot_be_read_is_refused(tus: Tus, header: str) -> None:
    """An unknown algorithm or no Base64 is 400; no bytes at all are simply wrong."""
    url = await tus.begin(100)
    answer = await tus.patch(url, 0, files.png()[:50], upload_checksum=header)
    assert answer.status_code == (460 if header == "sha1" else 400)


async def test_more_than_was_announced_is_413(tus: Tus, objects: ObjectStore, tenant: Tenant) -> None:
    """By its length before a byte is read, and without one as the bytes come; the upload can still go on."""
    photo = files.jpeg()
    url = await tus.begin(len(photo))
    assert (await tus.patch(url, 0, photo + b"x")).status_code == 413

    async def unmeasured() -> AsyncIterator[bytes]:
        yield photo[:600]
        yield photo

    assert (await tus.patch(url, 0, unmeasured())).status_code == 413
    assert await tus.offset(url) == 600
    assert (await tus.patch(url, 600, photo[600:])).status_code == 204


async def test_an_expired_upload_is_410(tus: Tus, admin: Any) -> None:
    """HEAD and PATCH alike; the same medium may begin anew."""
    media_id = files.new_id()
    url = await tus.begin(100, media_id=media_id)
    await admin.execute("UPDATE resumable_uploads SET expires_at = now() WHERE media_id = $1", media_id)
    assert (await tus.request("HEAD", url)).status_code == 410
    assert (await tus.patch(url, 0, b"x")).status_code == 410
    assert await tus.begin(100, media_id=media_id) != url


async def test_every_kept_byte_puts_the_end_off(tus: Tus, admin: Any) -> None:
    """Upload-Expires is told, and moves on with the upload."""
    url = await tus.begin(100)
    await admin.execute(
        "UPDATE resumable_uploads SET expires_at = now() + $1 WHERE visit_id = $2", timedelta(minutes=1), tus.visit
    )
    soon = (await tus.request("HEAD", url)).headers["upload-expires"]
    later = (await tus.patch(url, 0, files.jpeg()[:50])).headers["upload-expires"]
    assert soon.endswith("GMT")
    assert soon != later


async def test_an_unknown_or_foreign_upload_is_404(
    tus: Tus, client: httpx.AsyncClient, visit: str, other_tenant: Tenant
) -> None:
    """Whose an upload is cannot be told from outside."""
    url = await tus.begin(100)
    stranger = Tus(client, other_tenant.headers, visit)
    for hand, address in ((tus, f"/v1/uploads/{files.new_id()}"), (stranger, url)):
        assert (await hand.request("HEAD", address)).status_code == 404
        assert (await hand.patch(address, 0, b"x")).status_code == 404
        assert (await hand.request("DELETE", address)).status_code == 404
    assert (await stranger.create(100)).status_code == 404
    assert await tus.offset(url) == 0


async def test_a_medium_that_was_removed_can_be_sent_again(tus: Tus) -> None:
    """The upload it came by is forgotten with it, else the same id would be told that all of it is here."""
    photo, media_id = files.jpeg(), files.new_id()
    first = await tus.begin(len(photo), media_id=media_id)
    await tus.patch(first, 0, photo)
    assert (await tus.client.delete(f"/v1/media/{media_id}", headers=tus.headers)).status_code == 204
    assert (await tus.request("HEAD", first)).status_code == 404
    again = await tus.begin(len(photo), media_id=media_id)
    assert (await tus.patch(again, 0, photo)).status_code == 204
    assert [medium["id"] for medium in await _media(tus)] == [media_id]


async def test_a_terminated_upload_leaves_nothing(tus: Tus, large: bytes, objects: ObjectStore, tenant: Tenant) -> None:
    """Parts and tail go, and the upload is 404 from then on; a medium that has become one stays."""
    url = await tus.begin(len(large))
    await tus.patch(url, 0, large[: PART_BYTES + 99])
    assert (await tus.request("DELETE", url)).status_code == 204
    assert await nothing_of(objects, tenant)
    assert (await tus.request("HEAD", url)).status_code == 404
    done = await tus.create(len(files.png()), "image/png", body=files.png())
    assert (await tus.request("DELETE", done.headers["location"])).status_code == 204
    assert len(await _media(tus)) == 1


async def test_a_file_is_known_by_its_first_bytes_in_however_small_pieces(tus: Tus) -> None:
    """A HEIC that is called a JPEG becomes a HEIC, also when its first bytes come one by one."""
    photo = files.heic()
    url = await tus.begin(len(photo), "image/jpeg")
    for at, end in ((0, 1), (1, 9), (9, 600), (600, len(photo))):
        assert (await tus.patch(url, at, photo[at:end])).status_code == 204
    (medium,) = await _media(tus)
    assert (medium["content_type"], medium["declared_type"]) == ("image/heic", "image/jpeg")
    assert (medium["status"], medium["width"]) == ("stored", 600)


async def test_what_is_no_medium_ends_its_upload_at_its_first_bytes(
    tus: Tus, objects: ObjectStore, tenant: Tenant
) -> None:
    """415 before the rest is sent; in pieces too small to tell, when the file is whole."""
    url = await tus.begin(MEDIA_BYTES, "image/png")
    assert (await tus.patch(url, 0, b"%PDF-1.7\n" + bytes(20_000))).status_code == 415
    assert (await tus.request("HEAD", url)).status_code == 404
    text = b"not a picture at all"
    url = await tus.begin(len(text), "image/png")
    assert (await tus.patch(url, 0, text[:5])).status_code == 204
    assert (await tus.patch(url, 5, text[5:])).status_code == 415
    assert await nothing_of(objects, tenant)


async def test_other_bytes_than_announced_by_hash_are_refused(tus: Tus, objects: ObjectStore, tenant: Tenant) -> None:
    """A client that knows its file's hash finds out about damage here, not at the customer's."""
    photo = files.png()
    url = await tus.begin(len(photo), "image/png", sha256="0" * 64)
    assert (await tus.patch(url, 0, photo)).status_code == 422
    assert await nothing_of(objects, tenant)


async def test_a_broken_photo_needs_attention(tus: Tus) -> None:
    """It came whole, so it is kept with its reason, as by any other way in."""
    cut = files.jpeg()[:3000]
    assert (await tus.create(len(cut), body=cut)).status_code == 201
    (medium,) = await _media(tus)
    assert medium["status"] == "needs_attention"
    assert "incomplete" in medium["problem"]


async def test_to_announce_again_is_to_go_on(tus: Tus) -> None:
    """A lost answer costs nothing: the same medium has one upload; another file under its id is 409."""
    photo, media_id = files.jpeg(), files.new_id()
    url = await tus.begin(len(photo), media_id=media_id)
    await tus.patch(url, 0, photo[:1000])
    again = await tus.create(len(photo), media_id=media_id)
    assert (again.headers["location"], again.headers["upload-offset"]) == (url, "1000")
    assert (await tus.create(len(photo) + 1, media_id=media_id)).status_code == 409
    assert (await tus.patch(url, 1000, photo[1000:])).status_code == 204
    assert (await tus.create(len(photo), media_id=media_id)).status_code == 409


async def test_two_clients_at_one_upload_get_one_file(tus: Tus, large: bytes) -> None:
    """While one sends, the other hears 423; afterwards its offset is wrong and it hears 409."""
    url = await tus.begin(len(large))
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield large[:100_000]
        under_way.set()
        await go_on.wait()
        yield large[100_000:]

    async with asyncio.timeout(30):
        first = asyncio.create_task(tus.patch(url, 0, slowly()))
        await under_way.wait()
        second = await tus.patch(url, 0, large)
        assert second.status_code == 423, second.text
        assert int(second.headers["retry-after"]) > 0
        go_on.set()
        assert (await first).status_code == 204
    assert (await tus.patch(url, 0, large)).status_code == 409
    (medium,) = await _media(tus)
    assert medium["sha256"] == hashlib.sha256(large).hexdigest()


async def test_an_upload_that_is_ended_while_it_is_written_leaves_nothing(
    tus: Tus, large: bytes, objects: ObjectStore, tenant: Tenant
) -> None:
    """Who still sends hears 423, and what the store took of it meanwhile is dropped: parts and tail."""
    for ending in (PART_BYTES, 1000):
        url = await tus.begin(len(large))
        under_way, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(ending: int = ending, under_way: Any = under_way, go_on: Any = go_on) -> AsyncIterator[bytes]:
            yield large[:100_000]
            under_way.set()
            await go_on.wait()
            yield bytes(ending)

        async with asyncio.timeout(30):
            sending = asyncio.create_task(tus.patch(url, 0, slowly()))
            await under_way.wait()
            assert (await tus.request("DELETE", url)).status_code == 204
            go_on.set()
            assert (await sending).status_code == 423
        assert await nothing_of(objects, tenant)


async def test_a_silent_writer_is_replaced_and_can_no_longer_write(
    tus: Tus, large: bytes, admin: Any, objects: ObjectStore, tenant: Tenant
) -> None:
    """Once its claim is over another goes on; what the first one sends then changes nothing, and does not stay."""
    url = await tus.begin(len(large))
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield large[:100_000]
        under_way.set()
        await go_on.wait()
        yield bytes(PART_BYTES)

    async with asyncio.timeout(30):
        silent = asyncio.create_task(tus.patch(url, 0, slowly()))
        await under_way.wait()
        await admin.execute(
            "UPDATE resumable_uploads SET writer_until = now() - interval '1 s' WHERE visit_id = $1", tus.visit
        )
        assert (await tus.patch(url, 0, large[: PART_BYTES + 5])).status_code == 204
        go_on.set()
        assert (await silent).status_code == 423
    assert await tus.offset(url) == PART_BYTES + 5
    assert (await tus.patch(url, PART_BYTES + 5, large[PART_BYTES + 5 :])).status_code == 204
    (medium,) = await _media(tus)
    assert medium["sha256"] == hashlib.sha256(large).hexdigest()
    assert not await objects.unfinished(f"{tenant.id}/")


async def test_a_request_that_stalls_keeps_what_it_brought(
    tus: Tus, large: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """408 after a while of silence, and the next request goes on from there at once."""
    monkeypatch.setattr(body, "STALL_SECONDS", 0.2)
    url = await tus.begin(len(large))

    async def then_nothing() -> AsyncIterator[bytes]:
        yield large[: PART_BYTES + 1234]
        await asyncio.Event().wait()

    async with asyncio.timeout(30):
        assert (await tus.patch(url, 0, then_nothing())).status_code == 408
    assert await tus.offset(url) == PART_BYTES + 1234
    assert (await tus.patch(url, PART_BYTES + 1234, large[PART_BYTES + 1234 :])).status_code == 204


async def test_a_file_that_was_whole_when_its_gateway_died_becomes_a_medium(
    tus: Tus, admin: Any, objects: ObjectStore
) -> None:
    """All bytes were safe, the medium was not: the client's next question makes it one, once."""
    photo = files.jpeg()
    url = await tus.begin(len(photo))
    await tus.patch(url, 0, photo[:2000])
    row = await admin.fetchrow("SELECT * FROM resumable_uploads WHERE storage_path LIKE '%' || $1 || '%'", tus.visit)
    multipart_id = await objects.multipart.begin(row["storage_path"], content_type="image/jpeg")
    with closing(Spool()) as spool:
        spool.fill(memoryview(photo))
        etag = await objects.multipart.send(row["storage_path"], multipart_id, 1, spool)
    await admin.execute(
        "UPDATE resumable_uploads SET received = file_size, tail_path = NULL, etags = ARRAY[$1], multipart_id = $2 "
        "WHERE id = $3",
        *(etag, multipart_id, row["id"]),
    )
    assert await tus.offset(url) == len(photo)
    assert await tus.offset(url) == len(photo)
    (medium,) = await _media(tus)
    assert medium["sha256"] == hashlib.sha256(photo).hexdigest()


async def test_a_proxy_that_lets_only_post_through_is_got_around(tus: Tus) -> None:
    """X-HTTP-Method-Override stands for PATCH and DELETE, and for nothing else."""
    photo = files.png()
    url = await tus.begin(len(photo), "image/png")
    headers = {"x-http-method-override": "PATCH", "upload-offset": "0", "content-type": CHUNK}
    assert (await tus.request("POST", url, headers, photo)).status_code == 204
    assert (await tus.request("POST", url, {"x-http-method-override": "GET"})).status_code == 404
    assert (await tus.request("POST", url, {"x-http-method-override": "DELETE"})).status_code == 204


async def test_a_chunk_says_that_it_is_one(tus: Tus) -> None:
    """Another content type is 415, and a missing offset 400."""
    url = await tus.begin(100)
    assert (
        await tus.request("PATCH", url, {"upload-offset": "0", "content-type": "image/jpeg"}, b"x")
    ).status_code == 415
    assert (await tus.request("PATCH", url, {"content-type": CHUNK}, b"x")).status_code == 400
    assert (await tus.patch(url, 0, b"")).status_code == 204


async def test_a_part_to_be_put_together_is_refused(tus: Tus, objects: ObjectStore, tenant: Tenant) -> None:
    """It left half a file as a medium of its own."""
    said = {"upload-length": "10", "upload-metadata": metadata(visit_id=tus.visit), "upload-concat": "partial"}
    answer = await tus.request("POST", "/v1/uploads", said)
    assert (answer.status_code, "as one upload" in answer.json()["detail"]) == (400, True)
    assert await nothing_of(objects, tenant)


async def test_a_chunks_type_may_have_a_charset(tus: Tus) -> None:
    """Some clients cannot help adding one."""
    photo = files.png()
    url = await tus.begin(len(photo), "image/png")
    answer = await tus.patch(url, 0, photo, content_type=f"{CHUNK};charset=UTF-8")
    assert answer.status_code == 204


async def test_an_offset_can_be_asked_for_by_post(tus: Tus) -> None:
    """HEAD stands in X-HTTP-Method-Override."""
    url = await tus.begin(10, "image/png")
    answer = await tus.request("POST", url, {"x-http-method-override": "HEAD"})
    assert (answer.status_code, answer.headers["upload-offset"], answer.content) == (200, "0", b"")


async def test_a_chunk_of_other_bytes_than_its_md5_is_discarded(tus: Tus) -> None:
    """Sent again as it should be, it is taken."""
    photo = files.png()
    url = await tus.begin(len(photo), "image/png")
    md5 = base64.b64encode(hashlib.md5(photo, usedforsecurity=False).digest()).decode()
    assert (await tus.patch(url, 0, photo[:-1] + b"x", content_md5=md5)).status_code == 460
    assert await tus.offset(url) == 0
    assert (await tus.patch(url, 0, photo, content_md5=md5)).status_code == 204


async def test_a_tenants_open_uploads_are_bounded(tus: Tus, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound, two at once cannot both be the last one; a finished upload makes room."""
    monkeypatch.setattr(resumables, "OPEN_AT_ONCE", 2)
    first = await tus.begin(len(files.png()), "image/png")
    answers = await asyncio.gather(*(tus.create(100) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 429, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) > 0
    assert (await tus.patch(first, 0, files.png())).status_code == 204
    assert (await tus.create(100)).status_code == 201

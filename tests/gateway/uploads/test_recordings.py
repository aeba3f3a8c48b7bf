"""Recordings that arrive chunk by chunk: both kinds, gaps, and what comes out of it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from gateway.uploads import recordings, upload_limits
from jobs.kinds.estimate.steps.gather import gather
from store.objects.content import HEAD_BYTES
from store.objects.objects import ObjectStore
from store.pool import Database
from tests.gateway.uploads.conftest import allow, nothing_of
from tests.gateway.uploads.files import files
from tests.tenants import Tenant


@pytest.fixture
def recording(client: httpx.AsyncClient, tenant: Tenant, visit: str) -> Any:
    """Lend the hand of a phone that records."""
    return Recording(client, tenant, visit)


class Recording:
    """One recording of one visit."""

    def __init__(self, client: httpx.AsyncClient, tenant: Tenant, visit: str) -> None:
        self.client, self.tenant, self.id = client, tenant, files.new_id()
        self.path = f"/v1/visits/{visit}/recordings/{self.id}"

    async def chunk(
        self, sequence: object, body: bytes | AsyncIterator[bytes], kind: str = "audio/webm;codecs=opus"
    ) -> httpx.Response:
        """Send one chunk."""
        headers = self.tenant.headers | {"content-type": kind, "x-sequence": str(sequence)}
        return await self.client.post(f"{self.path}/chunks", content=body, headers=headers)

    async def finalize(self, **wish: Any) -> httpx.Response:
        """Say that it is complete."""
        return await self.client.post(f"{self.path}/finalize", json=wish, headers=self.tenant.headers)

    async def discard(self) -> httpx.Response:
        """Say that nobody wants it."""
        return await self.client.delete(self.path, headers=self.tenant.headers)

    async def content(self, **headers: str) -> httpx.Response:
        """Fetch the medium's bytes, as a browser's player does."""
        answer = await self.client.get(f"/v1/media/{self.id}/content", headers=self.tenant.headers)
        async with httpx.AsyncClient() as browser:
            return await browser.get(answer.headers["location"], headers=headers)


def _pieces(body: bytes, count: int) -> list[bytes]:
    size = -(-len(body) // count)
    return [body[at : at + size] for at in range(0, len(body), size)]


@pytest.mark.parametrize(
    ("container", "kind"), [("webm", "audio/webm"), ("mp4", "audio/mp4"), ("adts", "audio/aac"), ("mp3", "audio/mpeg")]
)
async def test_continuations_make_the_recording_they_were_cut_from(
    recording: Recording, container: str, kind: str
) -> None:
    """Only the first chunk has a header; sent in any order they come out as they were recorded, and measured."""
    body = files.recording(container, 4.0)
    pieces = _pieces(body, 5)
    for sequence in (3, 1, 5, 2, 4):
        assert (await recording.chunk(sequence, pieces[sequence - 1], kind)).status_code == 201
    answer = await recording.finalize(last_sequence=5, original_name="Walk.webm", sequence=9)
    assert answer.status_code == 201, answer.text
    medium = answer.json()
    assert (medium["id"], medium["status"], medium["sequence"]) == (recording.id, "stored", 9)
    assert medium["duration_ms"] == pytest.approx(4000, abs=120)
    assert medium["sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(
    ("container", "kind"), [("webm", "audio/webm"), ("mp4", "audio/mp4"), ("adts", "audio/aac"), ("mp3", "audio/mpeg")]
)
async def test_chunks_that_are_files_of_their_own_become_one_file(
    recording: Recording, container: str, kind: str
) -> None:
    """A recorder that starts anew for each chunk gives whole files; joined, all of them are heard."""
    for sequence in range(3):
        assert (await recording.chunk(sequence, files.recording(container, 2.0), kind)).status_code == 201
    medium = (await recording.finalize()).json()
    assert medium["status"] == "stored", medium
    assert medium["duration_ms"] == pytest.approx(6000, abs=250)


async def test_both_kinds_in_one_recording(recording: Recording) -> None:
    """A phone that was interrupted and went on: a file with a continuation, then another file."""
    first, second = _pieces(files.recording("webm", 2.0), 2)
    for sequence, body in enumerate((first, second, files.recording("webm", 3.0)), start=1):
        await recording.chunk(sequence, body)
    assert (await recording.finalize()).json()["duration_ms"] == pytest.approx(5000, abs=250)


async def test_gaps_are_listed_and_may_be_accepted(recording: Recording) -> None:
    """409 names what did not come, at the end too; with accept_gaps the rest is kept."""
    pieces = _pieces(files.recording("webm", 6.0), 6)
    for sequence in (1, 2, 5):
        await recording.chunk(sequence, pieces[sequence - 1])
    refused = await recording.finalize(last_sequence=6)
    assert (refused.status_code, refused.json()["missing"]) == (409, [3, 4, 6])
    accepted = await recording.finalize(last_sequence=6, accept_gaps=True)
    assert (accepted.status_code, accepted.json()["status"]) == (201, "stored")
    assert 500 < accepted.json()["duration_ms"] <= 6100


async def test_a_late_chunk_closes_its_gap(recording: Recording) -> None:
    """After a 409 the missing chunk is sent, and the recording is whole."""
    pieces = _pieces(files.recording("webm", 2.0), 3)
    await recording.chunk(1, pieces[0])
    await recording.chunk(3, pieces[2])
    assert (await recording.finalize()).status_code == 409
    await recording.chunk(2, pieces[1])
    assert (await recording.finalize()).status_code == 201


async def test_a_recording_without_its_beginning_cannot_be_played(recording: Recording) -> None:
    """Continuations alone are 422 with what to do; sent with the beginning they count."""
    pieces = _pieces(files.recording("webm", 2.0), 3)
    await recording.chunk(2, pieces[1])
    await recording.chunk(3, pieces[2])
    assert (await recording.finalize(accept_gaps=True)).status_code == 422
    await recording.chunk(1, pieces[0])
    assert (await recording.finalize()).status_code == 201


async def test_chunks_before_the_first_beginning_are_not_dropped_unasked(recording: Recording) -> None:
    """A 409 names them; with accept_gaps what can be heard is kept."""
    await recording.chunk(1, _pieces(files.recording("webm", 2.0), 2)[1])
    await recording.chunk(2, files.recording("webm", 3.0))
    refused = await recording.finalize()
    assert (refused.status_code, refused.json()["without_beginning"]) == (409, [1])
    accepted = await recording.finalize(accept_gaps=True)
    assert accepted.json()["duration_ms"] == pytest.approx(3000, abs=250)


async def test_everything_may_be_said_twice(recording: Recording, objects: ObjectStore, tenant: Tenant) -> None:
    """A chunk again is 200, other bytes in its place 409; finalized twice it is one medium, which alone is left."""
    body = files.recording("webm", 1.0)
    assert [(await recording.chunk(1, body)).status_code for _ in range(2)] == [201, 200]
    assert (await recording.chunk(1, body + b"x")).status_code == 409
    first, second = [await recording.finalize() for _ in range(2)]
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert len(await objects.keys(f"{tenant.id}/")) == 1
    assert (await recording.chunk(2, body)).status_code == 409


async def test_a_chunk_that_ends_after_its_recording_is_not_taken(
    recording: Recording, objects: ObjectStore, tenant: Tenant
) -> None:
    """Finalized while it was on its way: 409, for nobody would ever hear what a 201 had promised to keep."""
    body, others = files.recording(), asyncio.Barrier(2)
    await recording.chunk(1, body)
    async with asyncio.timeout(30):
        late = asyncio.create_task(recording.chunk(2, _slowly(body, others)))
        while not others.n_waiting:  # noqa: ASYNC110 - a barrier tells nobody who came
            await asyncio.sleep(0.02)
        assert (await recording.finalize()).status_code == 201
        await others.wait()
        assert (await late).status_code == 409
    assert len(await objects.keys(f"{tenant.id}/")) == 1


async def test_a_chunk_that_comes_while_its_recording_is_joined_is_not_lost(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was taken, so the join without it does not count: finalized again, the recording has it."""
    first, second = _pieces(files.recording(), 2)
    await recording.chunk(1, first)
    join = recordings._join

    async def join_and_receive(*args: Any) -> Any:
        joined = await join(*args)
        assert (await recording.chunk(2, second)).status_code in (200, 201)
        return joined

    monkeypatch.setattr(recordings, "_join", join_and_receive)
    assert (await recording.finalize()).status_code == 409
    monkeypatch.undo()
    assert (await recording.finalize()).json()["sha256"] == hashlib.sha256(first + second).hexdigest()


async def test_it_is_played_by_range(recording: Recording) -> None:
    """A player seeks by asking for ranges of the joined file."""
    body = files.recording("webm", 2.0)
    for sequence, piece in enumerate(_pieces(body, 3), start=1):
        await recording.chunk(sequence, piece)
    await recording.finalize()
    part = await recording.content(range="bytes=100-199")
    assert (part.status_code, part.content) == (206, body[100:200])
    assert part.headers["content-type"] == "audio/webm"


async def test_the_estimate_hears_the_joined_recording(
    recording: Recording, service: Database, tenant: Tenant, visit: str, objects: ObjectStore
) -> None:
    """What the pipeline gathers of the visit is one recording, whole."""
    body = files.recording("webm", 2.0)
    for sequence, piece in enumerate(_pieces(body, 4), start=1):
        await recording.chunk(sequence, piece)
    await recording.finalize()
    async with service.as_system() as conn:
        (heard,) = (await gather(conn, tenant.id, UUID(visit), uuid4())).material.recordings
    assert await objects.get(heard.storage_path) == body


@pytest.mark.parametrize(
    ("sequence", "body", "kind", "status"),
    [
        ("", b"x", "audio/webm", 400),
        ("-1", b"x", "audio/webm", 400),
        ("10000", b"x", "audio/webm", 400),
        ("1", b"", "audio/webm", 422),
        ("1", b"x", "image/jpeg", 415),
        ("1", b"x", "text/plain", 415),
    ],
)
async def test_a_chunk_that_cannot_be_one_is_refused(
    recording: Recording, sequence: str, body: bytes, kind: str, status: int
) -> None:
    """Without its place, without bytes, or of no sound."""
    assert (await recording.chunk(sequence, body, kind)).status_code == status
    assert (await recording.finalize()).status_code == 404


async def test_a_recording_is_of_one_type(recording: Recording) -> None:
    """A chunk of another type would be glued into a file nobody can play; it is refused, and what came stays."""
    body = files.recording()
    assert (await recording.chunk(1, body)).status_code == 201
    answer = await recording.chunk(2, files.recording("mp3"), "audio/mpeg")
    assert (answer.status_code, "made of audio/webm" in answer.json()["detail"]) == (409, True)
    medium = (await recording.finalize()).json()
    assert (medium["status"], medium["sha256"]) == ("stored", hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("declared", ["application/octet-stream", "audio/mpeg", "audio/x-unheard-of"])
async def test_a_recording_is_what_its_first_chunk_says(recording: Recording, declared: str) -> None:
    """Whatever its chunks are called; one without a header goes on with the one before."""
    body = files.recording()
    for number, piece in enumerate(_pieces(body, 3)):
        assert (await recording.chunk(number, piece, declared)).status_code == 201
    medium = (await recording.finalize()).json()
    assert (medium["content_type"], medium["declared_type"]) == ("audio/webm", declared)
    assert (medium["status"], medium["sha256"]) == ("stored", hashlib.sha256(body).hexdigest())


async def test_a_recording_is_no_larger_than_a_file(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that could never become a medium are refused as they come; one that is sent again is not counted twice."""
    body = files.recording()
    monkeypatch.setattr(upload_limits, "MEDIA_BYTES", len(body) + 10)
    assert [(await recording.chunk(1, body)).status_code for _ in range(2)] == [201, 200]
    assert (await recording.chunk(2, body[:11])).status_code == 413
    assert (await recording.chunk(2, body[:10])).status_code == 201


async def _slowly(body: bytes, others: asyncio.Barrier) -> AsyncIterator[bytes]:
    """Send a body whose end waits until all others are under way too."""
    yield body[:-1]
    await others.wait()
    yield body[-1:]


async def test_chunk_by_chunk_no_more_comes_than_there_is_room_for(
    recording: Recording, tenant: Tenant, admin: Any
) -> None:
    """What the recording holds already counts; the chunk that is there already may be sent again."""
    body = files.recording()
    await allow(admin, tenant, len(body) + 10)
    assert (await recording.chunk(1, body)).status_code == 201
    refused = await recording.chunk(2, body[:11])
    assert (refused.status_code, refused.json()["quota"]) == (413, len(body) + 10)
    assert (await recording.chunk(1, body)).status_code == 200
    assert (await recording.chunk(2, body[:10])).status_code == 201


async def test_the_last_room_is_one_chunks(
    recording: Recording, tenant: Tenant, admin: Any, objects: ObjectStore
) -> None:
    """Of two that both saw room when they began, one is kept and the other leaves nothing."""
    body, others = files.recording(), asyncio.Barrier(2)
    await allow(admin, tenant, 2 * len(body) - 1)
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*(recording.chunk(number, _slowly(body, others)) for number in (1, 2)))
    assert sorted(answer.status_code for answer in answers) == [201, 413]
    assert len(await objects.keys(f"{tenant.id}/")) == 1


async def test_two_first_chunks_of_different_types_are_not_both_taken(recording: Recording) -> None:
    """Both began before either was there; whoever is first says what the recording is made of."""
    others = asyncio.Barrier(2)
    async with asyncio.timeout(30):
        answers = await asyncio.gather(
            recording.chunk(1, _slowly(files.recording(), others), "audio/webm"),
            recording.chunk(2, _slowly(files.recording("mp3"), others), "audio/mpeg"),
        )
    assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_a_discarded_recording_leaves_nothing(recording: Recording, objects: ObjectStore, tenant: Tenant) -> None:
    """Its chunks go, rows and objects, once more is fine; what is sent later is refused."""
    await recording.chunk(1, files.recording())
    assert [(await recording.discard()).status_code for _ in range(2)] == [204, 204]
    late = await recording.chunk(2, files.recording())
    assert (late.status_code, "was discarded" in late.json()["detail"]) == (409, True)
    assert (await recording.finalize()).status_code == 404
    assert await nothing_of(objects, tenant)


async def test_what_became_a_medium_is_not_discarded(recording: Recording) -> None:
    """It is told again as what it is."""
    await recording.chunk(1, files.recording())
    await recording.finalize()
    assert (await recording.discard()).status_code == 204
    assert (await recording.finalize()).status_code == 200


@pytest.mark.parametrize("came_before", [0, 1])
async def test_a_chunk_on_its_way_is_discarded_with_its_recording(
    recording: Recording, objects: ObjectStore, tenant: Tenant, admin: Any, came_before: int
) -> None:
    """It began before the discard and ends after it: neither a row nor an object is left."""
    body = files.recording()
    for sequence in range(came_before):
        await recording.chunk(sequence, body)

    async def discarded_meanwhile() -> AsyncIterator[bytes]:
        yield body[:-1]
        assert (await recording.discard()).status_code == 204
        yield body[-1:]

    answer = await recording.chunk(came_before, discarded_meanwhile())
    assert (answer.status_code, "was discarded" in answer.json()["detail"]) == (409, True)
    assert await admin.fetchval("SELECT count(*) FROM recording_chunks WHERE tenant_id = $1", tenant.id) == 0
    assert await nothing_of(objects, tenant)


async def test_it_is_its_tenants_alone(recording: Recording, tenant: Tenant, other_tenant: Tenant) -> None:
    """Nobody adds to, finalizes, discards or learns of another tenant's recording."""
    assert (await recording.chunk(1, files.recording()[: HEAD_BYTES * 2])).status_code == 201
    recording.tenant = other_tenant
    assert (await recording.chunk(2, b"x")).status_code == 404
    assert (await recording.finalize()).status_code == 404
    await recording.discard()
    recording.tenant = tenant
    assert (await recording.finalize()).status_code == 201

"""What phones, browsers and messengers send beside the nine types: turned into one of them, the original beside."""

import hashlib
import io
from typing import Any, cast
from uuid import UUID

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from gateway.uploads.originals import still_id
from store.media import media
from store.objects.content import TYPES
from store.objects.objects import ObjectStore
from store.pool import Database
from tests.gateway.uploads.conftest import Upload
from tests.gateway.uploads.files import files
from tests.gateway.uploads.test_presign import _send
from tests.gateway.uploads.tus.tus import Tus
from tests.tenants import Tenant

SECONDS = 3.0
CONVERTED = {
    "ogg": ("ogg", "libopus", "audio/webm"),
    "wav": ("wav", "pcm_s16le", "audio/mp4"),
    "flac": ("flac", "flac", "audio/mp4"),
    "aiff": ("aiff", "pcm_s16be", "audio/mp4"),
    "caf": ("caf", "pcm_s16le", "audio/mp4"),
    "3gp": ("3gp", "aac", "audio/mp4"),
    "quicktime": ("mov", "aac", "audio/mp4"),
    "uncompressed webm": ("matroska", "pcm_f32le", "audio/webm"),
}


def sound(container: str, codec: str) -> bytes:
    """Return three seconds of a tone."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        _add_tone(file, cast("av.AudioStream", file.add_stream(codec, rate=48_000, layout="mono")))
    return out.getvalue()


def video(container: str = "mp4", *, is_silent: bool = False) -> bytes:
    """Return three seconds of a picture whose left quarter is red, with a tone."""
    out = io.BytesIO()
    codecs = {"webm": ("libvpx", "libopus")}.get(container, ("mpeg4", "aac"))
    with av.open(out, "w", format=container) as file:
        pictures = cast("av.VideoStream", file.add_stream(codecs[0], rate=10))
        pictures.width, pictures.height, pictures.pix_fmt = 320, 240, "yuv420p"
        tone = None if is_silent else cast("av.AudioStream", file.add_stream(codecs[1], rate=48_000, layout="mono"))
        frame = av.VideoFrame.from_ndarray(np.asarray(files.picture(320, 240)), format="rgb24")
        for number in range(30):
            frame.pts = number
            file.mux(pictures.encode(frame))
        file.mux(pictures.encode(None))
        if tone is not None:
            _add_tone(file, tone)
    return out.getvalue()


def _add_tone(file: Any, stream: Any) -> None:
    if not stream.codec_context.is_open:
        stream.codec_context.open()
    samples = (np.sin(np.arange(int(48_000 * SECONDS)) * 0.06) * 9_000).astype(np.int16).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate = 48_000
    size = stream.codec_context.frame_size or 1024
    for part in av.AudioResampler(stream.codec_context.format, "mono", 48_000, size).resample(frame):
        file.mux(stream.encode(part))
    for part in av.AudioResampler(stream.codec_context.format, "mono", 48_000, size).resample(None):
        file.mux(stream.encode(part))
    file.mux(stream.encode(None))


def _photo(name: str) -> bytes:
    out = io.BytesIO()
    files.picture(320, 240).save(out, name)
    return out.getvalue()


@pytest.mark.parametrize("name", CONVERTED)
async def test_a_recording_of_another_type_becomes_one_of_ours(
    upload: Upload, name: str, objects: ObjectStore, service: Database
) -> None:
    """It plays for as long as what was sent, which is kept unchanged in the other bucket."""
    container, codec, becomes = CONVERTED[name]
    body = sound(container, codec)
    answer = await upload(body, "application/octet-stream", x_media_id=(media_id := files.new_id()))
    assert answer.status_code == 201, answer.text
    medium = answer.json()
    assert (medium["content_type"], medium["status"], medium["note"]) == (becomes, "stored", None)
    assert medium["duration_ms"] == pytest.approx(SECONDS * 1000, abs=100)
    assert medium["original"]["sha256"] == hashlib.sha256(body).hexdigest()
    async with service.as_system() as conn:
        row = await media.get(conn, UUID(medium["id"]))
    assert await objects.originals.get(row["original_path"]) == body
    stored = await objects.get(row["storage_path"])
    assert (len(stored), hashlib.sha256(stored).hexdigest()) == (medium["file_size"], medium["sha256"])
    assert (await upload(body, "audio/ogg", x_media_id=media_id)).status_code == 200


@pytest.mark.parametrize("name", ["AVIF", "GIF"])
async def test_a_photo_of_another_type_becomes_a_jpeg(
    upload: Upload, name: str, objects: ObjectStore, service: Database
) -> None:
    """Of its full size, in its colours."""
    medium = (await upload(_photo(name), "image/jpeg")).json()
    assert (medium["content_type"], medium["width"], medium["height"]) == ("image/jpeg", 320, 240)
    assert medium["original"]["content_type"] == f"image/{name.lower()}"
    async with service.as_system() as conn:
        row = await media.get(conn, UUID(medium["id"]))
    shown = Image.open(io.BytesIO(await objects.get(row["storage_path"])))
    assert _near(shown, (20, 100), files.RED)
    assert _near(shown, (200, 100), files.BLUE)


def _heif_sequence() -> bytes:
    """Return pictures in HEVC under a sequence's brand and handler; FFmpeg writes them as a video only."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as file:
        pictures = file.add_stream("libx265", rate=10, options={"x265-params": "log-level=none"})
        pictures.width, pictures.height, pictures.pix_fmt = 320, 240, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.asarray(files.picture(320, 240)), format="rgb24")
        for number in range(5):
            frame.pts = number
            file.mux(pictures.encode(frame))
        file.mux(pictures.encode(None))
    body = bytearray(out.getvalue())
    body[8:12] = b"msf1"
    handler = body.index(b"hdlr") + 12
    body[handler : handler + 4] = b"pict"
    return bytes(body)


async def test_of_a_heif_sequence_one_picture_is_shown(upload: Upload) -> None:
    """A burst of a phone; which picture is the decoder's choice."""
    medium = (await upload(_heif_sequence(), "image/heic-sequence")).json()
    assert (medium["content_type"], medium["width"], medium["status"]) == ("image/jpeg", 320, "stored")
    assert medium["original"]["content_type"] == "image/heif-sequence"


@pytest.mark.parametrize("container", ["mp4", "mov", "webm"])
@pytest.mark.parametrize("way", ["straight", "tus", "presigned"])
async def test_a_video_is_taken_for_its_sound_and_one_picture(
    client: httpx.AsyncClient,
    tenant: Tenant,
    visit: str,
    upload: Upload,
    objects: ObjectStore,
    way: str,
    container: str,
) -> None:
    """By every way in: two media, and in the first bucket nothing but our types."""
    body, media_id = video(container), files.new_id()
    await _send_by(way, client, tenant, visit, upload, body, media_id)
    listed = (await client.get(f"/v1/visits/{visit}/media", headers=tenant.headers)).json()["media"]
    by_type = {medium["media_type"]: medium for medium in listed}
    assert sorted(medium["media_type"] for medium in listed) == ["audio", "photo"]
    assert (by_type["audio"]["id"], by_type["audio"]["status"]) == (media_id, "stored")
    assert by_type["audio"]["duration_ms"] == pytest.approx(SECONDS * 1000, abs=100)
    assert by_type["audio"]["original"]["sha256"] == hashlib.sha256(body).hexdigest()
    assert (by_type["photo"]["width"], by_type["photo"]["id"]) == (320, str(still_id(UUID(media_id))))
    for key in await objects.keys(f"{tenant.id}/"):
        stored = await objects.head(key)
        assert stored is not None
        assert stored.content_type in TYPES
    assert len(await objects.originals.keys(f"{tenant.id}/")) == 1
    for medium in listed:
        assert (await client.delete(f"/v1/media/{medium['id']}", headers=tenant.headers)).status_code == 204
    assert not await objects.keys(f"{tenant.id}/")
    assert not await objects.originals.keys(f"{tenant.id}/")


async def _send_by(
    way: str, client: httpx.AsyncClient, tenant: Tenant, visit: str, upload: Upload, body: bytes, media_id: str
) -> None:
    if way == "straight":
        assert (await upload(body, "video/mp4", x_media_id=media_id)).status_code == 201
    elif way == "tus":
        tus = Tus(client, tenant.headers, visit)
        url = await tus.begin(len(body), "audio/mp4", media_id=media_id)
        assert (await tus.patch(url, 0, body[:5_000])).status_code == 204
        assert (await tus.patch(url, 5_000, body[5_000:])).status_code == 204
    else:
        wish = {"content_type": "video/quicktime", "file_size": len(body), "media_id": media_id}
        path = f"/v1/visits/{visit}/media"
        form = (await client.post(f"{path}/presign", json=wish, headers=tenant.headers)).json()
        assert await _send(form, body) == 204
        assert (await client.post(f"{path}/{media_id}/complete", headers=tenant.headers)).status_code == 201


async def test_a_video_without_sound_is_a_photo(upload: Upload) -> None:
    """Its picture is the medium itself."""
    medium = (await upload(video(is_silent=True), "video/mp4")).json()
    assert (medium["media_type"], medium["content_type"], medium["width"]) == ("photo", "image/jpeg", 320)


async def test_the_original_is_given_back(upload: Upload, client: httpx.AsyncClient, tenant: Tenant) -> None:
    """As it was sent; a medium that is its own original gives that."""
    body = sound("wav", "pcm_s16le")
    medium = (await upload(body, "audio/x-wav")).json()
    answer = await client.get(f"/v1/media/{medium['id']}/content?size=original", headers=tenant.headers)
    async with httpx.AsyncClient() as browser:
        given = await browser.get(answer.headers["location"])
    assert (given.content, given.headers["content-type"]) == (body, "audio/wav")


async def test_what_cannot_be_opened_says_so(upload: Upload) -> None:
    """It is kept as it came, with the reason."""
    medium = (await upload(b"OggS\0\2" + bytes(3000), "audio/ogg")).json()
    assert (medium["content_type"], medium["status"], medium["original"]) == ("audio/ogg", "needs_attention", None)


def _near(image: Image.Image, place: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    found = image.convert("RGB").getpixel(place)
    assert isinstance(found, tuple)
    return all(abs(int(a) - b) <= 6 for a, b in zip(found, colour, strict=True))

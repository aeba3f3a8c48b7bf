"""Photos and recordings with something wrong in them: what is wrong costs itself, never the rest."""

import io
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from store.media.decoder import audio, decode
from store.media.decoder.audio import SoundReader
from store.objects.content import Findings
from tests.gateway.uploads.files import files

RED = (200, 30, 30)
ON_ITS_SIDE = 6


def _seconds(body: bytes) -> float:
    with av.open(io.BytesIO(body), "r") as container:
        return sum((frame.samples / frame.sample_rate for frame in SoundReader(container).frames()), 0.0)


@pytest.mark.parametrize("share", [0.3, 0.4, 0.7])
@pytest.mark.parametrize(("container", "kind"), [("adts", "audio/aac"), ("mp3", "audio/mpeg"), ("webm", "audio/webm")])
def test_a_bad_frame_costs_itself(container: str, kind: str, share: float) -> None:
    """400 bytes are overwritten: all but a second of the recording is heard."""
    body = bytearray(files.recording(container, 11.0))
    at = int(len(body) * share)
    body[at : at + 400] = random.Random(1).randbytes(400)
    found = decode.check(bytes(body), kind)
    assert found.problem is None
    assert _seconds(bytes(body)) > 10.0
    assert _lost(found) == pytest.approx(11.0 - _seconds(bytes(body)), abs=0.15)


def _lost(found: Findings) -> float:
    assert found.note is not None
    return float(found.note.split(" s of this recording")[0])


@pytest.mark.parametrize(
    ("container", "kind"), [("adts", "audio/aac"), ("mp3", "audio/mpeg"), ("webm", "audio/webm"), ("mp4", "audio/mp4")]
)
def test_nothing_is_said_of_a_whole_recording(container: str, kind: str) -> None:
    """No note where nothing is lost."""
    found = decode.check(files.recording(container, 11.0), kind)
    assert (found.problem, found.note) == (None, None)


def test_the_missing_end_of_a_recording_is_told(tmp_path: Path) -> None:
    """The header promises 11 s; the file was cut after 6 or so of them."""
    whole = tmp_path / "note.m4a"
    with av.open(str(whole), "w", format="mp4", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("aac", rate=48_000)
        samples = np.sin(np.arange(48_000 * 11) * 0.06).astype("float32").reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    body = whole.read_bytes()[: whole.stat().st_size * 6 // 11]
    found = decode.check(body, "audio/mp4")
    assert found.problem is None
    assert _lost(found) == pytest.approx(11.0 - _seconds(body), abs=0.3)


def _stereo(left: float, right: float) -> bytes:
    """Return a second of a tone in two channels of these strengths."""
    out = io.BytesIO()
    tone = np.sin(np.arange(96_000) * 0.06) * 9_000
    samples = np.stack([tone * left, tone * right]).astype(np.int16).T.reshape(1, -1)
    with av.open(out, "w", format="matroska") as file:
        stream = file.add_stream("pcm_s16le", rate=48_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return out.getvalue()


@pytest.mark.parametrize(
    ("left", "right", "cancels"), [(1, -1, True), (1, -0.9, True), (1, 1, False), (1, 0, False), (0.2, 1, False)]
)
def test_channels_that_cancel_each_other_out_are_heard(left: float, right: float, cancels: bool) -> None:
    """Mixed they would be silent; the louder one alone is as loud as it was."""
    body = _stereo(left, right)
    with av.open(io.BytesIO(body), "r") as container:
        heard = np.frombuffer(b"".join(SoundReader(container).mono(16_000)), np.int16)
    assert len(heard) == pytest.approx(32_000, abs=100)
    assert np.abs(heard[2_000:-2_000]).max() > 3_500
    with av.open(io.BytesIO(body), "r") as container:
        assert audio.cancels_out(container) is cancels


@pytest.mark.parametrize("rate", [1, 100, 3_999])
def test_sound_at_an_odd_rate_is_refused(rate: int) -> None:
    """Turned into 16 kHz, a second of it at 1 Hz would be 16,000 times as large."""
    out = io.BytesIO()
    with av.open(out, "w", format="matroska") as file:
        stream = file.add_stream("pcm_s16le", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 64), dtype=np.int16), format="s16", layout="mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    assert "an unusual format" in (decode.check(out.getvalue(), "audio/webm").problem or "")
    with av.open(io.BytesIO(out.getvalue()), "r") as container, pytest.raises(audio.OddSound):
        list(SoundReader(container).frames())


def _broken_exif(kind: int, value: bytes) -> bytes:
    """Return EXIF that says how the camera was held, and one tag whose value is no such thing."""
    entries = struct.pack("<HHII", 0x0112, 3, 1, ON_ITS_SIDE) + struct.pack("<HHII", 0x011A, kind, 1, 38)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 2) + entries + bytes(4) + value


@pytest.mark.parametrize(
    "exif",
    [
        _broken_exif(5, struct.pack("<ii", -1, 0)),
        _broken_exif(10, struct.pack("<ii", -1, 0)),
        _broken_exif(5, b""),
        _broken_exif(3, struct.pack("<ii", -1, -1)),
        _broken_exif(99, b"\xff" * 8),
    ],
)
def test_a_broken_tag_leaves_the_picture_upright(exif: bytes) -> None:
    """Only how the camera was held is read; red was on the left, so it is on top."""
    out = io.BytesIO()
    files.picture(400, 300).save(out, "JPEG", exif=exif)
    found = decode.check(out.getvalue(), "image/jpeg")
    assert (found.width, found.height, found.problem) == (300, 400, None)
    shown = Image.open(io.BytesIO(decode.render(out.getvalue(), "image/jpeg", 200)))
    assert shown.size == (150, 200)
    assert _near(shown, (75, 5), RED)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(
    "chunk",
    [
        _chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(2_000_000))),
        _chunk(b"zTXt", b"words\0\0" + zlib.compress(b"x" * 2_000_000)),
        _chunk(b"iTXt", b"words\0\1\0\0\0" + zlib.compress(b"x" * 2_000_000)),
        _chunk(b"tEXt", b"Raw profile type exif\0\nexif\n  8\nthis is no hex\n"),
        _chunk(b"zTXt", b"words\0\0this is no zlib"),
    ],
)
def test_text_and_profiles_that_are_wrong_are_dropped(chunk: bytes) -> None:
    """The picture is what counts."""
    out = io.BytesIO()
    files.picture(200, 100).save(out, "PNG")
    body = out.getvalue()[:33] + chunk + out.getvalue()[33:]
    assert decode.check(body, "image/png").problem is None
    assert _near(Image.open(io.BytesIO(decode.render(body, "image/png", 200))), (5, 50), RED)


@pytest.mark.parametrize("missing", [0.0, 0.01, 0.05])
def test_a_jpeg_without_its_last_bytes_is_shown(missing: float) -> None:
    """As browsers do; its beginning is right."""
    body = files.jpeg(400, 300, exif=False)
    body = body[: len(body) - 2 - int(len(body) * missing)]
    found = decode.check(body, "image/jpeg")
    assert found.problem is None
    assert "bottom" in (found.note or "")
    assert _near(Image.open(io.BytesIO(decode.render(body, "image/jpeg", 400))), (5, 5), RED)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("behind", [b"", b"\xff\xda of a film", b"\xff\xd9\xff\xda" * 3])
def test_what_a_phone_appends_behind_a_jpeg_is_not_its_end(behind: bytes, progressive: bool) -> None:
    """A moving photo has a film behind its picture, with any bytes in it."""
    out = io.BytesIO()
    files.picture(400, 300).save(out, "JPEG", progressive=progressive)
    assert decode.check(out.getvalue() + behind, "image/jpeg") == decode.check(out.getvalue(), "image/jpeg")
    assert decode.check(out.getvalue() + behind, "image/jpeg").note is None


def test_half_a_jpeg_is_incomplete() -> None:
    """A picture without half of the room is no picture of the room."""
    body = files.jpeg(400, 300, exif=False)
    assert "incomplete" in (decode.check(body[: len(body) // 2], "image/jpeg").problem or "")


def test_a_small_file_takes_no_large_memory() -> None:
    """A flat PNG of 36 megapixels in 16 bits with transparency: its pixels once, and little more."""
    code = (
        "import sys, resource; from store.media.decoder import decode; decode.load_decoders();"
        "body = sys.stdin.buffer.read(); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "decode.render(body, 'image/png', 2000); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    row = zlib.compressobj(9)
    pixels = b"".join(row.compress(bytes(1 + 6000 * 8)) for _ in range(6000)) + row.flush()
    header = struct.pack(">IIBBBBB", 6000, 6000, 16, 6, 0, 0, 0)
    body = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")
    grown_kb = int(subprocess.run([sys.executable, "-c", code], input=body, capture_output=True, check=True).stdout)
    assert grown_kb < 1.7 * 4 * 36_000


def _near(image: Image.Image, place: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    found = image.convert("RGB").getpixel(place)
    assert isinstance(found, tuple)
    return all(abs(int(a) - b) <= 6 for a, b in zip(found, colour, strict=True))

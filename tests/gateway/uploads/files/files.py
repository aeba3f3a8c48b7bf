"""Real photos and recordings, made on the spot."""

import io
import struct
import zlib
from collections.abc import AsyncIterator
from functools import cache
from typing import cast
from uuid import uuid4

import av
import numpy as np
import pillow_heif
from PIL import Image

# The camera lay on its side: shown as it is, red would be on the left; upright, it is on top.
ON_ITS_SIDE = 6
PLACE = {1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)}
RED, BLUE = (200, 30, 30), (30, 30, 200)


@cache
def jpeg(width: int = 800, height: int = 600, *, exif: bool = True) -> bytes:
    """Return a JPEG with GPS, a comment and an orientation."""
    out = io.BytesIO()
    picture(width, height).save(out, "JPEG", exif=camera_exif() if exif else b"", comment=b"written at the customer's")
    return out.getvalue()


@cache
def heic() -> bytes:
    """Return a HEIC as a phone makes it, with GPS and an orientation."""
    out = io.BytesIO()
    heif = pillow_heif.from_pillow(picture(800, 600))
    heif.save(out, exif=camera_exif(), quality=60)
    return out.getvalue()


@cache
def png(width: int = 64, height: int = 48) -> bytes:
    """Return a small PNG, half of it see-through."""
    out = io.BytesIO()
    Image.new("RGBA", (width, height), (0, 0, 0, 0)).save(out, "PNG")
    return out.getvalue()


@cache
def webp() -> bytes:
    """Return a small WebP."""
    out = io.BytesIO()
    picture(80, 60).save(out, "WEBP")
    return out.getvalue()


def picture(width: int, height: int) -> Image.Image:
    """Return a picture whose left quarter is red and whose rest is blue."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width // 4, height))
    return image


def camera_exif() -> bytes:
    """Return EXIF with orientation and position."""
    exif = Image.Exif()
    exif[0x0112] = ON_ITS_SIDE
    exif.get_ifd(0x8825).update(PLACE)
    exif[0x8825] = exif.get_ifd(0x8825)
    return exif.tobytes()


def png_bomb(width: int, height: int) -> bytes:
    """Return a few hundred bytes that claim to be an enormous picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


_CODECS = {"webm": "libopus", "mp4": "aac", "adts": "aac", "mp3": "libmp3lame"}


@cache
def recording(container: str = "webm", seconds: float = 2.0) -> bytes:
    """Return a tone in a container as a browser writes it: streamed, so that a WebM does not say its length."""
    out = _OneWay()
    options = {"movflags": "frag_keyframe+empty_moov"} if container == "mp4" else {}
    with av.open(out, "w", format=container, options=options) as file:
        stream = cast("av.AudioStream", file.add_stream(_CODECS[container], rate=48000))
        samples = np.sin(np.arange(int(48000 * seconds)) * 0.06).astype("float32").reshape(1, -1) * 0.4
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 48000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
    return out.getvalue()


class _OneWay(io.BytesIO):
    def seekable(self) -> bool:
        return False


async def padded(start: bytes, total: int, *, chunk: int = 256 * 1024) -> AsyncIterator[bytes]:
    """Yield `start` and then zeros up to `total` bytes."""
    yield start
    left = total - len(start)
    zeros = bytes(chunk)
    while left:
        yield zeros[:left]
        left -= min(left, chunk)


def new_id() -> str:
    """Return a media id as a client makes it."""
    return str(uuid4())

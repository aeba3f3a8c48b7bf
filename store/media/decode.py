"""Opens photos and recordings for real. Pure, but dangerous: only `media_process` calls it."""

from __future__ import annotations

import importlib
import io
import pkgutil
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from PIL import Image, ImageCms, ImageOps

from store.objects.content import Findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer

MAX_PIXELS = 100_000_000
MAX_AUDIO_SECONDS = 4 * 3600
# About 2 s of sound: enough to know that it decodes; the rest is only walked through, for its length.
_DECODED_PACKETS = 100
_JPEG_QUALITY = 85
_NO_DECODER = ("av.__main__", "av.datasets")

_PILLOW = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/heic": "HEIF",
    "image/heif": "HEIF",
}
# Naming the container keeps FFmpeg from trying playlists and other formats that reach for further files.
_FFMPEG = {"audio/webm": "matroska", "audio/mp4": "mp4", "audio/aac": "aac", "audio/mpeg": "mp3"}


class Unreadable(Exception):
    """The file cannot be used; the message is for the contractor who sent it."""


def load_decoders() -> None:
    """Import every decoder: a helper that is confined loads no code any more."""
    import av  # noqa: PLC0415 - FFmpeg takes 60 MB that a process without recordings does not need
    import pillow_heif  # noqa: PLC0415

    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.startswith(_NO_DECODER):
            importlib.import_module(module.name)
    Image.init()
    pillow_heif.register_heif_opener(thumbnails=False)


def check(data: bytes, content_type: str) -> Findings:
    """Decode a file of one of our types; whatever is wrong with it ends as `Findings.problem`."""
    try:
        return _check_audio(data, content_type) if content_type in _FFMPEG else _check_photo(data, content_type)
    except Unreadable as problem:
        return Findings(problem=str(problem))


def render(data: bytes, content_type: str, edge: int) -> bytes:
    """Make a JPEG for eyes: upright, sRGB, without any metadata, at most `edge` pixels a side, never enlarged.

    Raises `Unreadable`.
    """
    with _photo(data, content_type) as image:
        image.draft("RGB", (edge, edge))  # lets a JPEG decode at a fraction of its size
        upright = _flat(_srgb(ImageOps.exif_transpose(image)))
        upright.thumbnail((edge, edge), Image.Resampling.LANCZOS)
        # A new image has no EXIF, XMP, comment or profile that could slip through.
        clean = Image.new("RGB", upright.size)
        clean.paste(upright)
        out = io.BytesIO()
        clean.save(out, "JPEG", quality=_JPEG_QUALITY, optimize=True, progressive=True)
        return out.getvalue()


def join(files: list[bytes], content_type: str) -> bytes:
    """Put recordings one behind the other into one file, without touching their sound. Raises `Unreadable`."""
    import av  # noqa: PLC0415 - as in `_check_audio`

    out, name = io.BytesIO(), _FFMPEG[content_type]
    try:
        with av.open(out, "w", format={"matroska": "webm"}.get(name, name)) as joined:
            stream: AudioStream | None = None
            end = 0  # in microseconds
            for data in files:
                with av.open(io.BytesIO(data), mode="r", format=name, metadata_errors="replace") as container:
                    stream = stream or joined.add_stream_from_template(container.streams.audio[0])
                    end = _append(joined, stream, container, end)
    except Exception as error:
        raise Unreadable("The parts of this recording do not fit together. Send them one by one.") from error
    return out.getvalue()


def _append(joined: OutputContainer, stream: AudioStream, container: InputContainer, start: int) -> int:
    """Copy a recording's packets to where the one before ended; returns where this one does."""
    source, end = container.streams.audio[0], start
    for packet in container.demux(source):
        if packet.pts is None:
            continue
        tick = float(source.time_base or 0) * 1_000_000
        shift = round(start / tick)
        end = max(end, round((packet.pts + shift + (packet.duration or 0)) * tick))
        packet.pts += shift
        packet.dts = packet.pts
        packet.stream = stream
        joined.mux(packet)
    return end


def _check_photo(data: bytes, content_type: str) -> Findings:
    with _photo(data, content_type) as image:
        image.load()
        upright = ImageOps.exif_transpose(image).size
        return Findings(width=upright[0], height=upright[1])


@contextmanager
def _photo(data: bytes, content_type: str) -> Iterator[Image.Image]:
    """Open a photo, refusing a pixel bomb by its header, before any pixel is decoded."""
    Image.MAX_IMAGE_PIXELS = None  # ours below gives a better sentence
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=_formats(content_type)) as image,
        ):
            _require_sane_size(image)
            yield image
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable("This photo is too large to be opened. Send a smaller version of it.") from None
    except Exception as error:
        if _is_cut_short(error):
            raise Unreadable("This photo is incomplete: its end is missing. Send the original once more.") from error
        raise Unreadable("This photo cannot be opened: the file is damaged. Take it again.") from error


def _formats(content_type: str) -> tuple[str, ...]:
    return (_PILLOW[content_type],)


def _require_sane_size(image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise Unreadable(
            f"This photo has {pixels // 1_000_000} megapixels; at most {MAX_PIXELS // 1_000_000} can be opened. "
            "Send a smaller version of it."
        )


def _is_cut_short(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, EOFError) or any(
        sign in text for sign in ("truncated", "end of file", "eof", "incomplete")
    )


def _srgb(image: Image.Image) -> Image.Image:
    """Bring a phone's wide colours into sRGB, which is what a JPEG without a profile means."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in {"RGB", "RGBA", "CMYK", "L"}:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError):  # a broken profile spoils colours, not the photo
        return image
    return converted or image


def _flat(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = image.point(lambda value: value / 256).convert("L")
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, "white")
        return Image.alpha_composite(white, over).convert("RGB")
    return image.convert("RGB")


def _check_audio(data: bytes, content_type: str) -> Findings:
    import av  # noqa: PLC0415 - FFmpeg takes 60 MB that a helper for photos does not need

    try:
        with av.open(io.BytesIO(data), mode="r", format=_FFMPEG[content_type], metadata_errors="replace") as container:
            return Findings(duration_ms=_measure(container))
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable("This recording cannot be played: the file is damaged or incomplete.") from error


def _measure(container: InputContainer) -> int:
    """Walk through the packets; a browser's recording does not say its own length."""
    if not container.streams.audio:
        raise Unreadable("There is no sound in this recording.")
    stream = container.streams.audio[0]
    first, last = _span(container, stream)
    seconds = (last - first) * float(stream.time_base or 0)
    if seconds > MAX_AUDIO_SECONDS:
        raise Unreadable(f"This recording is longer than {MAX_AUDIO_SECONDS // 3600} hours. Send it in parts.")
    return round(seconds * 1000)


def _span(container: InputContainer, stream: AudioStream) -> tuple[int, int]:
    """First and last moment in the stream's time base; the beginning is decoded to see that it is sound.

    A recording that breaks off is worth what can be heard of it, as one from a phone whose battery died.
    """
    first, last, samples, packets = None, 0, 0, 0
    try:
        for packet in container.demux(stream):
            if packet.pts is None:
                continue
            packets += 1
            if packets <= _DECODED_PACKETS:
                samples += sum(frame.samples for frame in packet.decode())
            first = packet.pts if first is None else first
            last = max(last, packet.pts + (packet.duration or 0))
    except (OSError, ValueError):  # the bases of FFmpeg's errors
        if samples == 0:
            raise
    if first is None or samples == 0:
        raise Unreadable("There is no sound in this recording.")
    return first, last

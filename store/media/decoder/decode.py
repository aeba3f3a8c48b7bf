"""Opens photos and recordings for real. Pure, but dangerous: only `media_process` calls it."""

from __future__ import annotations

import importlib
import io
import pkgutil
import re
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from PIL import ExifTags, Image, ImageChops, ImageCms, ImageFile

from store.media.decoder.audio import DEMUXERS, FAULTS, ODD, SILENT, UNPLAYABLE, OddSound, SoundReader, note_on_loss
from store.media.decoder.hdr import in_srgb
from store.objects.content import Findings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

MAX_PIXELS = 100_000_000
# A JPEG is decoded at an eighth of its size where that is enough; phones of today make 200 megapixels.
MAX_JPEG_PIXELS = 250_000_000
_JPEGS = {"JPEG", "MPO"}
_CHECKED_EDGE = 1
_ENOUGH_ROWS = 0.9
_START_OF_IMAGE, _END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # neither a byte of the picture nor one without a length
_CUT_NOTE = "The end of this file is missing, so the bottom of the photo may be gray."
_STRIP_ROWS = 256
_TURNS: dict[int, Image.Transpose | None] = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_VIDEOS = {"audio/webm": "video/webm", "audio/mp4": "video/mp4"}
_ON_ITS_SIDE = {5, 6, 7, 8}
MAX_AUDIO_SECONDS = 4 * 3600
# An hour of sound, and a quarter of what a file may cost: what comes after it is only walked through, for its length.
_DECODING_CPU_SECONDS = 5.0
_JPEG_QUALITY = 85
_NO_DECODER = ("av.__main__", "av.datasets")

SEQUENCE = "image/heif-sequence"
_PILLOW = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/heic": "HEIF",
    "image/heif": "HEIF",
    SEQUENCE: "HEIF",
    "image/avif": "AVIF",
    "image/gif": "GIF",
}


class Unreadable(Exception):
    """The file cannot be used; the message is for its contractor."""


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
    """Decode a file; its fault ends as `Findings.problem`. A sequence is opened when it is converted."""
    if content_type == SEQUENCE:
        return Findings()
    try:
        return _check_audio(data, content_type) if content_type in DEMUXERS else _check_photo(data, content_type)
    except Unreadable as problem:
        return Findings(problem=str(problem))


def render(data: bytes, content_type: str, edge: int) -> bytes:
    """Make a JPEG for eyes: upright, sRGB, without any metadata, at most `edge` pixels a side, never enlarged.

    Raises `Unreadable`.
    """
    with _photo(data, content_type, edge) as image:
        upright = _upright(_small(image, edge), _orientation(image))
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

    out, name = io.BytesIO(), DEMUXERS[content_type]
    try:
        with av.open(out, "w", format={"matroska": "webm"}.get(name, name)) as joined:
            stream: AudioStream | None = None
            end = 0  # in microseconds
            for data in files:
                with av.open(io.BytesIO(data), mode="r", format=name, metadata_errors="replace") as container:
                    stream = stream or joined.add_stream_from_template(container.streams.audio[0])
                    end = _append(joined, stream, container, end)
    except Exception as error:
        raise Unreadable("The parts of this recording could not be joined. Record it again in one go.") from error
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
        width, height = _full_size(image)
        if _orientation(image) in _ON_ITS_SIDE:
            width, height = height, width
        return Findings(width=width, height=height, note=_CUT_NOTE if _lacks_end(image, data) else None)


@contextmanager
def _photo(data: bytes, content_type: str, edge: int = _CHECKED_EDGE) -> Iterator[Image.Image]:
    """Decode a photo, a JPEG not much larger than `edge`; a pixel bomb is refused by its header."""
    Image.MAX_IMAGE_PIXELS = None  # ours below gives a better sentence
    try:
        with warnings.catch_warnings(action="ignore"), _decoded(data, content_type, edge) as image:
            yield image
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable("This photo is too large to be opened. Send a smaller version of it.") from None
    except Exception as error:
        if _is_cut_short(error):
            raise Unreadable("This photo is incomplete: its end is missing. Send the original once more.") from error
        raise Unreadable("This photo cannot be opened: the file is damaged. Take it again.") from error


def _decoded(data: bytes, content_type: str, edge: int) -> Image.Image:
    image = _opened(data, content_type, edge)
    try:
        image.load()
    except OSError as error:
        if image.format not in _JPEGS or not _is_cut_short(error):
            raise
        return _without_its_end(_opened(data, content_type, edge), error)
    return image


def _opened(data: bytes, content_type: str, edge: int) -> Image.Image:
    ImageFile.LOAD_TRUNCATED_IMAGES = True  # here: a text or profile that is too large is dropped, not the picture
    try:
        image = Image.open(io.BytesIO(data), formats=_formats(content_type))
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    _require_sane_size(image)
    image.info["full_size"] = image.size
    image.draft("RGB", (edge, edge))  # lets a JPEG decode at a fraction of its size
    return image


def _without_its_end(image: Image.Image, error: OSError) -> Image.Image:
    """Decode a JPEG as far as it goes, as browsers do. Raises `error` when more than a tenth of it is missing."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        image.load()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    grey = Image.new(image.mode, image.size, (128,) * len(image.getbands()))  # what libjpeg fills up with
    decoded = ImageChops.difference(image, grey).getbbox()
    if decoded is None or decoded[3] < image.height * _ENOUGH_ROWS:
        raise error
    return image


def _lacks_end(image: Image.Image, data: bytes) -> bool:
    """Tell whether a JPEG's own end is missing, whatever a phone appends behind it (a film, a second picture)."""
    if image.format not in _JPEGS:
        return False
    at = len(_START_OF_IMAGE)
    while marker := _MARKER.search(data, at):
        if marker[0] == _END_OF_IMAGE:
            return False
        length = data[marker.end() : marker.end() + 2]
        at = marker.end() + max(int.from_bytes(length), len(length))
    return True


def _formats(content_type: str) -> tuple[str, ...]:
    return (_PILLOW[content_type],)


def _full_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.info["full_size"]
    return int(width), int(height)


def _require_sane_size(image: Image.Image) -> None:
    pixels, most = image.width * image.height, MAX_JPEG_PIXELS if image.format in _JPEGS else MAX_PIXELS
    if pixels > most:
        raise Unreadable(
            f"This photo has {pixels // 1_000_000} megapixels; at most {most // 1_000_000} can be opened. "
            "Send a smaller version of it."
        )


def _orientation(image: Image.Image) -> int:
    """Return how the camera was held, 1 to 8; 1 when that cannot be read: no other tag matters."""
    try:
        said = image.getexif().get(ExifTags.Base.Orientation, 1)
        value = int(said[0] if isinstance(said, tuple) else said)
    except Exception:  # noqa: BLE001 - whatever is wrong with a photo's tags costs the tags
        return 1
    return value if value in _TURNS else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS[orientation]
    return image if turn is None else image.transpose(turn)


def _small(image: Image.Image, edge: int) -> Image.Image:
    """Make a photo plain RGB and not much larger than `edge`, in strips: whole copies of it would fill the memory."""
    factor = max(max(image.size) // (2 * edge), 1)
    width, height, strip = image.width, image.height, _STRIP_ROWS * factor
    small = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    for top in range(0, height, strip):
        part = _flat(_srgb(image.crop((0, top, width, min(top + strip, height)))))
        small.paste(part.reduce(factor) if factor > 1 else part, (0, top // factor))
    return small


def _is_cut_short(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, EOFError) or any(
        sign in text for sign in ("truncated", "end of file", "eof", "incomplete")
    )


def _srgb(image: Image.Image) -> Image.Image:
    """Bring a phone's wide colours into sRGB, which is what a JPEG without a profile means."""
    profile = image.info.get("icc_profile")
    if not profile:
        return in_srgb(image)
    if image.mode not in {"RGB", "RGBA", "CMYK", "L"}:
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
        with av.open(io.BytesIO(data), mode="r", format=DEMUXERS[content_type], metadata_errors="replace") as container:
            really = _VIDEOS.get(content_type) if pictures_of(container) else None
            return replace(_measure(container), really=really)
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(UNPLAYABLE) from error


def pictures_of(container: InputContainer) -> list[VideoStream]:
    """Return a recording's video; the cover of a recording is none."""
    return [stream for stream in container.streams.video if not stream.disposition & stream.disposition.attached_pic]


def _measure(container: InputContainer) -> Findings:
    """Walk through the packets; a browser's recording does not say its own length."""
    if not container.streams.audio and pictures_of(container):
        return Findings(duration_ms=round((container.duration or 0) / 1000))
    if not container.streams.audio:
        raise Unreadable(SILENT)
    reader = SoundReader(container)
    first, last = _span(reader)
    seconds = (last - first) * float(reader.stream.time_base or 0)
    if seconds > MAX_AUDIO_SECONDS:
        raise Unreadable(f"This recording is longer than {MAX_AUDIO_SECONDS // 3600} hours. Send it in parts.")
    return Findings(duration_ms=round(seconds * 1000), note=note_on_loss(reader.lost))


def _span(reader: SoundReader) -> tuple[int, int]:
    """First and last moment in the stream's time base; the sound is decoded, to know what of it is lost.

    A recording that breaks off is worth what can be heard of it, as one from a phone whose battery died.
    """
    first, last, samples, begun = None, 0, 0, time.process_time()
    try:
        for packet in reader.packets():
            if packet.pts is None:
                continue
            if samples == 0 or time.process_time() - begun < _DECODING_CPU_SECONDS:
                samples += sum(frame.samples for frame in reader.decode(packet))
            first = packet.pts if first is None else first
            last = max(last, packet.pts + (packet.duration or 0))
    except OddSound as error:
        raise Unreadable(ODD) from error
    except FAULTS:
        if samples == 0:
            raise
    if first is None or samples == 0:
        raise Unreadable(SILENT)
    return first, last

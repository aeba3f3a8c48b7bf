"""Turns recordings of phones, browsers and messengers into the types of our bucket. Dangerous as `decode` is.

Sound that one of our containers may hold is copied as it is; other sound is coded anew. A video gives its sound and one
picture. A photo becomes a JPEG of its full size.
"""

from __future__ import annotations

import io
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, cast

from store.media.decoder.audio import DEMUXERS, FAULTS, ODD, UNPLAYABLE, OddSound, SoundReader
from store.media.decoder.decode import MAX_PIXELS, SEQUENCE, Unreadable, check, pictures_of, render
from store.objects.content import Converted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL import Image


# The longer side of a JPEG that stands for a photo of another type, and of a video's picture.
FULL_EDGE = 8_000
_STILL_EDGE = 4_000
_STILL_QUALITY = 90
_RATE = 48_000
_BITRATE_A_CHANNEL = 64_000
_EMPTY = "There is neither sound nor a picture in this video. Record it again."


class _Target(NamedTuple):
    """Where sound goes: its content type, the container, and the codec when it is coded anew."""

    content_type: str
    container: str
    codec: str = ""


_COPIED = {
    "aac": _Target("audio/mp4", "mp4"),
    "opus": _Target("audio/webm", "webm"),
    "vorbis": _Target("audio/webm", "webm"),
    "mp3": _Target("audio/mpeg", "mp3"),
    "mp3float": _Target("audio/mpeg", "mp3"),
}
_IN_WEBM = _Target("audio/webm", "webm", "libopus")
_IN_MP4 = _Target("audio/mp4", "mp4", "aac")


def convert(data: bytes, content_type: str) -> list[Converted]:
    """Make files of our types: of a video its sound and one picture, as far as it has them. Raises `Unreadable`."""
    if content_type == SEQUENCE:
        return _of_sequence(data)
    if content_type.startswith("image/"):
        return [_finished("image/jpeg", render(data, content_type, FULL_EDGE))]
    made = [*_sound(data, content_type), *_still(data, content_type)]
    if not made:
        raise Unreadable(_EMPTY)
    return made


def _of_sequence(data: bytes) -> list[Converted]:
    """Make a JPEG of a HEIF sequence's own picture, or else of one from its middle."""
    try:
        return [_finished("image/jpeg", render(data, SEQUENCE, FULL_EDGE))]
    except Unreadable:
        made = _still(data, SEQUENCE)
    if not made:
        raise Unreadable("This photo cannot be opened: the file is damaged. Take it again.")
    return made


def _finished(content_type: str, body: bytes) -> Converted:
    findings = check(body, content_type)
    if findings.problem is not None:
        raise Unreadable(findings.problem)
    return Converted(content_type, body, findings)


def _sound(data: bytes, content_type: str) -> list[Converted]:
    with _opened(data, content_type) as container:
        if not container.streams.audio:
            return []
        codec = container.streams.audio[0].codec_context.name
    try:
        if codec in _COPIED:
            target = _COPIED[codec]
            return [_finished(target.content_type, _copied(data, content_type, target))]
    except (*FAULTS, Unreadable):  # it does not fit there as it is
        pass
    target = _IN_WEBM if DEMUXERS[content_type] == "matroska" else _IN_MP4
    try:
        return [_finished(target.content_type, _coded(data, content_type, target))]
    except OddSound as error:
        raise Unreadable(ODD) from error
    except FAULTS as error:
        raise Unreadable(UNPLAYABLE) from error


def _copied(data: bytes, content_type: str, target: _Target) -> bytes:
    out = io.BytesIO()
    with _opened(data, content_type) as source, _created(out, target) as container:
        stream = container.add_stream_from_template(source.streams.audio[0])
        stream.metadata.clear()
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return out.getvalue()


def _coded(data: bytes, content_type: str, target: _Target) -> bytes:
    from av import AudioResampler  # noqa: PLC0415 - FFmpeg takes 60 MB; only a helper needs it

    out = io.BytesIO()
    with _opened(data, content_type) as source, _created(out, target) as container:
        reader = SoundReader(source)
        layout = "mono" if reader.stream.codec_context.channels == 1 else "stereo"
        stream = cast("AudioStream", container.add_stream(target.codec, rate=_RATE, layout=layout))
        coder = stream.codec_context
        coder.bit_rate = _BITRATE_A_CHANNEL * (1 if layout == "mono" else 2)
        coder.open()
        resampler = AudioResampler(coder.format, layout, _RATE, coder.frame_size)
        for frame in reader.frames():
            frame.pts = None  # what is lost between two frames is told, and no silence
            for part in resampler.resample(frame):
                container.mux(stream.encode(part))
        for part in resampler.resample(None):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return out.getvalue()


def _still(data: bytes, content_type: str) -> list[Converted]:
    """Make the JPEG of a video's middle, or of the first picture that can be decoded."""
    with _opened(data, content_type) as container:
        streams = pictures_of(container)
        if not streams:
            return []
        streams[0].codec_context.thread_count = 1  # a confined helper starts no threads
        frame = _middle(container, streams[0]) or _first(container, streams[0])
        return [] if frame is None else [_finished("image/jpeg", _jpeg(_upright(frame)))]


def _middle(container: InputContainer, stream: VideoStream) -> VideoFrame | None:
    try:
        container.seek((container.duration or 0) // 2, backward=True)
        return _first(container, stream)
    except FAULTS:
        return None


def _first(container: InputContainer, stream: VideoStream) -> VideoFrame | None:
    """Return the next picture that can be decoded; of a damaged video, a later one."""
    try:
        for packet in container.demux(stream):
            with suppress(*FAULTS):
                for frame in packet.decode():
                    return frame
    except FAULTS:
        pass
    return None


def _upright(frame: VideoFrame) -> Image.Image:
    if frame.width * frame.height > MAX_PIXELS:
        raise Unreadable("This video is too large to be opened. Send a smaller version of it.")
    picture: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    return picture.rotate(frame.rotation, expand=True)


@contextmanager
def _opened(data: bytes, content_type: str) -> Iterator[InputContainer]:
    """Open a recording. Raises `Unreadable`, also for what is wrong with it in the block."""
    import av  # noqa: PLC0415 - as in `_coded`

    try:
        with av.open(io.BytesIO(data), "r", DEMUXERS[content_type], metadata_errors="replace") as container:
            yield container
    except FAULTS as error:
        raise Unreadable(UNPLAYABLE) from error


def _created(out: io.BytesIO, target: _Target) -> OutputContainer:
    import av  # noqa: PLC0415 - as in `_coded`

    # With `bitexact` FFmpeg neither signs a file nor dates it: the same recording gives the same bytes.
    return av.open(out, "w", target.container, options={"fflags": "+bitexact"})


def _jpeg(picture: Image.Image) -> bytes:
    picture.thumbnail((_STILL_EDGE, _STILL_EDGE))
    out = io.BytesIO()
    picture.convert("RGB").save(out, "JPEG", quality=_STILL_QUALITY)
    return out.getvalue()

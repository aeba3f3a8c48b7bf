"""Recordings of a tone, in each type that a provider takes, with everything that a phone writes beside the sound."""

import io
from fractions import Fraction

import av
from av.audio.stream import AudioStream

RATE = 48_000
# Each text that stands in one of these files and must not leave the house begins so.
PRIVATE = "Mrs. Smith"
_TAGS = (
    "title", "artist", "album", "comment", "description", "location", "location-eng", "make", "model", "date",
    "com.apple.quicktime.location.ISO6709", "com.apple.quicktime.model", "creation_time",
)  # fmt: skip
TYPES = {
    "audio/webm": ("webm", "libopus"),
    "audio/mp4": ("mp4", "aac"),
    "audio/mpeg": ("mp3", "libmp3lame"),
}


def tone(content_type: str = "audio/webm", *, seconds: float = 1.0, tags: bool = False) -> bytes:
    """Record it; with `tags` the file says whose it is, in its container, its stream and behind its end."""
    name, codec = TYPES[content_type]
    target = io.BytesIO()
    with av.open(target, "w", name, options={"movflags": "use_metadata_tags"} if name == "mp4" else {}) as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        assert isinstance(stream, AudioStream)
        if tags:
            container.metadata.update({tag: f"{PRIVATE}: {tag}" for tag in _TAGS})
            stream.metadata.update({tag: f"{PRIVATE}: {tag}" for tag in ("title", "handler_name", "comment")})
        for frame in _frames(round(seconds * 50)):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    behind = b"TAG" + PRIVATE.encode().ljust(125, b"\0") if tags and name == "mp3" else b""
    return target.getvalue() + behind


def _frames(count: int) -> list[av.AudioFrame]:
    frames = []
    for number in range(count):
        frame = av.AudioFrame(format="s16", layout="mono", samples=RATE // 50)
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), number * RATE // 50
        frame.planes[0].update(bytes([0, 32, 0, 224]) * (RATE // 100))
        frames.append(frame)
    return frames

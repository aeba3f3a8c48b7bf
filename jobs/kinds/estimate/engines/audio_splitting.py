"""Cuts a long recording into pieces, where the speaker pauses. Runs only in a helper process.

Everything is coded anew, mono, at 24 kbit/s for a provider: ten minutes are 2 MB, for any recording format.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import av

from jobs.kinds.estimate.engines.audio_errors import RATE, AudioError
from store.media.decoder.audio import DEMUXERS, FAULTS, SILENT, UNPLAYABLE, SoundReader
from store.media.decoder.decode import MAX_AUDIO_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence


# Providers take 25 minutes at most with some models; a pause is looked for in the last minute of each ten.
PIECE_SECONDS = 600
_LOOK_BACK_SECONDS = 60
_WINDOW = RATE // 10  # samples: a tenth of a second
_CODER_RATE, BITRATE = 48_000, 24_000


class Piece(NamedTuple):
    """A stretch of a recording as WebM/Opus."""

    offset_ms: int
    length_ms: int
    content: bytes


class Split(NamedTuple):
    """A recording in pieces, and how many ms of it could not be decoded."""

    pieces: list[Piece]
    lost_ms: int


def split(content: bytes, content_type: str, *, piece_seconds: int = PIECE_SECONDS, bitrate: int = BITRATE) -> Split:
    """Return the whole recording in pieces of `bitrate` bits a second.

    Raises `AudioError` for an unplayable one.
    """
    samples, loudness, lost = _decoded(content, content_type)
    cuts = _cuts(loudness, piece_seconds)
    starts, ends = [0, *cuts], [*cuts, len(loudness)]
    pieces = [
        Piece(start * 100, (end - start) * 100, _coded(samples[start * _WINDOW * 2 : end * _WINDOW * 2], bitrate))
        for start, end in zip(starts, ends, strict=True)
    ]
    return Split(pieces, round(lost * 1000))


def _cuts(loudness: Sequence[int], piece_seconds: int) -> list[int]:
    """Return the windows at which to cut: the quietest of each piece's last part, never past its end."""
    length, back = piece_seconds * 10, min(_LOOK_BACK_SECONDS, piece_seconds // 2) * 10
    cuts: list[int] = []
    start = 0
    while len(loudness) - start > length:
        late = range(start + length - back, start + length)
        start = min(late, key=lambda window: (loudness[window], -window))
        cuts.append(start)
    return cuts


def _decoded(content: bytes, content_type: str) -> tuple[bytes, list[int], float]:
    """Return mono samples, the loudest one of each tenth of a second, and how many seconds were lost."""
    samples, lost = bytearray(), 0.0
    try:
        with av.open(io.BytesIO(content), "r", DEMUXERS.get(content_type), metadata_errors="replace") as container:
            if not container.streams.audio:
                raise AudioError(SILENT)
            reader = SoundReader(container)
            for block in reader.mono(RATE):
                samples += block
                lost = reader.lost
                if len(samples) > MAX_AUDIO_SECONDS * RATE * 2:
                    raise AudioError(
                        f"This recording is longer than {MAX_AUDIO_SECONDS // 3600} hours. Send it in parts."
                    )
    except FAULTS as error:
        if not samples:
            raise AudioError(UNPLAYABLE) from error
    if not samples:
        raise AudioError(SILENT)
    whole = memoryview(bytes(samples)).cast("h")
    windows = range(0, len(whole), _WINDOW)
    return bytes(samples), [_loudest(whole[i : i + _WINDOW]) for i in windows], lost


def _loudest(window: memoryview) -> int:
    highest, lowest = max(window), min(window)
    return int(max(highest, -lowest))


def _coded(samples: bytes, bitrate: int) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=_CODER_RATE, layout="mono")
        stream.bit_rate = bitrate
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // 2)
        frame.sample_rate = RATE
        frame.planes[0].update(samples.ljust(frame.planes[0].buffer_size, b"\0"))
        resampler = av.AudioResampler(format="s16", layout="mono", rate=_CODER_RATE, frame_size=960)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return target.getvalue()

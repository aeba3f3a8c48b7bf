"""Sound as it is decoded, frame by frame: what one damaged packet holds is skipped, and odd sizes are refused.

Everything that opens a recording decodes by `decoded`, in a helper process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av import AudioFrame, Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# The bases of FFmpeg's errors; a file that ends before it begins is an EOFError.
FAULTS = (OSError, ValueError, EOFError)
# Telephones record at 8 kHz and studios at 192. At 1 Hz a file of 120 kB became 1.9 GB of samples.
RATES = range(4_000, 384_001)
_MOST_CHANNELS = 16
# FLAC's longest frame has 65,535 samples; no codec packs a second of sound into a megabyte.
_MOST_SAMPLES = 1 << 18
_MOST_PACKET_BYTES = 1 << 20


class OddSound(ValueError):
    """The sound has a form that no recorder makes, and that would take too much memory."""


def frames(container: InputContainer) -> Iterator[AudioFrame]:
    """Yield the first stream's sound, without what cannot be decoded. Raises `OddSound` and one of `FAULTS`."""
    stream = container.streams.audio[0]
    for packet in packets(container, stream):
        yield from decoded(packet)


def packets(container: InputContainer, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
    """Yield the stream's packets; one that is too large to be sound raises `OddSound`."""
    _require_usual(stream.codec_context.sample_rate, stream.codec_context.channels)
    for packet in container.demux(stream):
        if packet.size > _MOST_PACKET_BYTES:
            raise OddSound("a packet is too large")
        yield packet


def decoded(packet: Packet[AudioStream]) -> list[AudioFrame]:
    """Return a packet's frames; none when it is damaged, which costs itself and never the rest of the recording."""
    try:
        found = packet.decode()
    except FAULTS:
        return []
    for frame in found:
        _require_usual(frame.sample_rate, len(frame.layout.channels), frame.samples)
    return found


def _require_usual(rate: int, channels: int, samples: int = 0) -> None:
    if (rate and rate not in RATES) or channels > _MOST_CHANNELS or samples > _MOST_SAMPLES:
        raise OddSound(f"{rate} Hz, {channels} channels, {samples} samples in a frame")

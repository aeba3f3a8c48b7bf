"""Sound as it is decoded, frame by frame: what one damaged packet holds is skipped and counted, odd sizes are refused.

Everything that opens a recording decodes by `SoundReader`, in a helper process.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av import AudioFrame, Packet
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# What is wrong with a recording, to its contractor.
UNPLAYABLE = (
    "This recording cannot be played: the file is damaged or incomplete. Record it again, or type it as a note."
)
SILENT = "There is no sound in this recording. Check the microphone and record it again, or type it as a note."
ODD = "This recording has an unusual format. Record it again with your phone's own recorder."
# Naming the container keeps FFmpeg from trying playlists and other formats that reach for further files.
DEMUXERS = {
    "audio/webm": "matroska",
    "audio/mp4": "mp4",
    "audio/aac": "aac",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/aiff": "aiff",
    "audio/x-caf": "caf",
    "audio/amr": "amr",
    "audio/3gpp": "mp4",
    "video/quicktime": "mp4",
    "video/mp4": "mp4",
    "video/webm": "matroska",
    "image/heif-sequence": "mp4",
    "audio/x-matroska": "matroska",
}
# The bases of FFmpeg's errors; a file that ends before it begins is an EOFError.
FAULTS = (OSError, ValueError, EOFError)
# Telephones record at 8 kHz and studios at 192. At 1 Hz a file of 120 kB became 1.9 GB of samples.
RATES = range(4_000, 384_001)
_MOST_CHANNELS = 16
# FLAC's longest frame has 65,535 samples; no codec packs a second of sound into a megabyte.
_MOST_SAMPLES = 1 << 18
_MOST_PACKET_BYTES = 1 << 20
# A container's own bytes between two packets; a demuxer that lost its way skips more.
_MOST_OVERHEAD_BYTES = 512
# Headers round a recording's length, and a browser's last packet may be short.
_TOLD_END_SECONDS = 0.25
# Their length is no header's word but a guess by FFmpeg.
_ESTIMATED = {"aac", "mp3"}
_STEREO = 2
# Half a second decides whether two channels cancel out: their mix then has less than a twentieth of their power.
_BLOCK_SECONDS, _CANCELLED = 0.5, 0.05
_LISTENED_SECONDS = 30
# Every eighth sample is enough to tell how loud it is.
_EVERY = 8


class OddSound(ValueError):
    """The sound has a form that no recorder makes, and that would take too much memory."""


class SoundReader:
    """Reads the first sound of a container. `lost` is how many seconds of it could not be had, so far."""

    def __init__(self, container: InputContainer) -> None:
        self.stream: AudioStream = container.streams.audio[0]
        self.lost = 0.0
        self._container = container
        self._tick = float(self.stream.time_base or 0)
        # Times tell what a demuxer skipped; beside a video, other packets lie between.
        self._shows_gaps = "matroska" in container.format.name and len(container.streams) == 1
        # Where the last packet ended, in ticks and in bytes.
        self._end: int | None = None
        self._end_byte: int | None = None

    def packets(self) -> Iterator[Packet[AudioStream]]:
        """Yield the packets; one that is too large to be sound raises `OddSound`. Raises one of `FAULTS`."""
        _require_usual(self.stream.codec_context.sample_rate, self.stream.codec_context.channels)
        for packet in self._container.demux(self.stream):
            if packet.size > _MOST_PACKET_BYTES:
                raise OddSound("a packet is too large")
            self._note_gap(packet)
            yield packet
        self._note_missing_end()

    def decode(self, packet: Packet[AudioStream]) -> list[AudioFrame]:
        """Return a packet's frames; none when it is damaged, which costs itself and never the rest of the recording."""
        try:
            found = packet.decode()
        except FAULTS:
            self.lost += (packet.duration or 0) * self._tick
            return []
        for frame in found:
            _require_usual(frame.sample_rate, len(frame.layout.channels), frame.samples)
        return found

    def frames(self) -> Iterator[AudioFrame]:
        """Yield the sound, without packets that cannot be decoded. Raises `OddSound` and one of `FAULTS`."""
        for packet in self.packets():
            yield from self.decode(packet)

    def mono(self, rate: int) -> Iterator[bytes]:
        """Yield the sound as 16-bit samples of one channel; two that cancel each other out become the louder one."""
        from av import AudioResampler  # noqa: PLC0415 - FFmpeg takes 60 MB; only a helper needs it

        mixer, splitter = (AudioResampler(format="s16", layout=layout, rate=rate) for layout in ("mono", "stereo"))
        mix, pair = bytearray(), bytearray()
        block = int(rate * _BLOCK_SECONDS) * 2
        for frame in self._and_the_end():
            if frame is not None:
                frame.pts = None  # browsers write gaps and jumps; the samples are what counts
            mix += b"".join(map(_bytes_of, mixer.resample(frame)))
            if self._has_two_channels:
                pair += b"".join(map(_bytes_of, splitter.resample(frame)))
            while len(mix) >= block:
                yield _audible(mix[:block], pair[: 2 * block])
                del mix[:block], pair[: 2 * block]
        if mix:
            yield _audible(mix, pair)

    @property
    def _has_two_channels(self) -> bool:
        return self.stream.codec_context.channels == _STEREO

    def _and_the_end(self) -> Iterator[AudioFrame | None]:
        yield from self.frames()
        yield None

    def _note_gap(self, packet: Packet[AudioStream]) -> None:
        if packet.pts is None:
            return
        if self._end is not None and self._end_byte is not None and packet.pos is not None:
            skipped, gap = packet.pos - self._end_byte, (packet.pts - self._end) * self._tick
            if skipped > _MOST_OVERHEAD_BYTES and gap > 0 and self._shows_gaps:
                self.lost += gap
        self._end = max(self._end or 0, packet.pts + (packet.duration or 0))
        self._end_byte = None if packet.pos is None else packet.pos + packet.size

    def _note_missing_end(self) -> None:
        """Count the sound that a header promises and the file does not have: it was cut short."""
        told = self.stream.duration
        if told is None or self._end is None or self._container.format.name in _ESTIMATED:
            return
        missing = (told + (self.stream.start_time or 0) - self._end) * self._tick
        if missing > _TOLD_END_SECONDS:
            self.lost += missing


def cancels_out(container: InputContainer) -> bool:
    """Tell whether a mix of the two channels is silent in the first half minute. Raises `OddSound`, one of `FAULTS`."""
    reader = SoundReader(container)
    if reader.stream.codec_context.channels != _STEREO:
        return False
    from av import AudioResampler  # noqa: PLC0415 - as in `mono`

    mixer, splitter = (AudioResampler(format="s16", layout=layout, rate=8000) for layout in ("mono", "stereo"))
    mix, pair = bytearray(), bytearray()
    for frame in reader.frames():
        frame.pts = None
        mix += b"".join(map(_bytes_of, mixer.resample(frame)))
        pair += b"".join(map(_bytes_of, splitter.resample(frame)))
        if len(mix) > _LISTENED_SECONDS * 8000 * 2:
            break
    channels = array("h", bytes(pair))
    return _cancel(array("h", bytes(mix)), channels[0::2], channels[1::2])


def note_on_loss(seconds: float) -> str | None:
    """Tell which part of a recording cannot be heard, to its contractor; None for nothing."""
    if seconds <= 0:
        return None
    return f"{max(seconds, 0.1):.1f} s of this recording are damaged or missing and cannot be heard."


def _audible(mix: bytearray, pair: bytearray) -> bytes:
    """Return the mix of two channels, or the first of them where they cancel each other out."""
    channels = array("h", bytes(pair))
    left, right = channels[0::2], channels[1::2]
    if _cancel(array("h", bytes(mix)), left, right):
        return (left if _power(left) >= _power(right) else right).tobytes()
    return bytes(mix)


def _cancel(mix: array[int], left: array[int], right: array[int]) -> bool:
    return _power(mix) < _CANCELLED * max(_power(left), _power(right))


def _power(samples: array[int]) -> float:
    some = samples[::_EVERY]
    return sum(sample * sample for sample in some) / max(len(some), 1)


def _bytes_of(frame: AudioFrame) -> bytes:
    return bytes(frame.planes[0])[: frame.samples * 2 * len(frame.layout.channels)]


def _require_usual(rate: int, channels: int, samples: int = 0) -> None:
    if (rate and rate not in RATES) or channels > _MOST_CHANNELS or samples > _MOST_SAMPLES:
        raise OddSound(f"{rate} Hz, {channels} channels, {samples} samples in a frame")

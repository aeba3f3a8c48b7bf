"""Puts a recording's sound into a new file of its kind, bare of everything else. Runs only in a helper process.

Titles, places, device names, pictures, chapters and other tracks stay behind; the sound is not touched.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import av

from jobs.kinds.estimate.engines.audio_errors import AudioError
from store.media.decoder.audio import DEMUXERS, FAULTS, SILENT, UNPLAYABLE, cancels_out

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

# Each with its options; with `bitexact` FFmpeg neither signs a file nor dates it.
_MUXERS: dict[str, tuple[str, dict[str, str]]] = {
    "audio/webm": ("webm", {"fflags": "+bitexact"}),
    "audio/mp4": ("mp4", {"fflags": "+bitexact"}),
    "audio/mpeg": ("mp3", {"fflags": "+bitexact", "id3v2_version": "0", "write_xing": "0"}),
}


def remux(content: bytes, content_type: str) -> bytes:
    """Return the recording's sound alone, as the same type.

    Raises `AudioError` when it cannot be copied as it is: a provider mixes two channels, which must not cancel out.
    """
    target = io.BytesIO()
    name, options = _MUXERS[content_type]
    try:
        with av.open(io.BytesIO(content), "r", DEMUXERS[content_type], metadata_errors="replace") as source:
            if cancels_out(source):
                raise AudioError("The two channels of this recording cancel each other out.")
        with (
            av.open(io.BytesIO(content), "r", DEMUXERS[content_type], metadata_errors="replace") as source,
            av.open(target, "w", name, options=options) as container,
        ):
            _copy(source, container)
    except (*FAULTS, IndexError) as error:
        raise AudioError(UNPLAYABLE) from error
    return target.getvalue()


def _copy(source: InputContainer, container: OutputContainer) -> None:
    stream = container.add_stream_from_template(source.streams.audio[0])
    stream.metadata.clear()
    copied = 0
    for packet in source.demux(source.streams.audio[0]):
        if packet.dts is None:  # the end
            continue
        packet.stream = stream
        container.mux(packet)
        copied += 1
    if not copied:
        raise AudioError(SILENT)

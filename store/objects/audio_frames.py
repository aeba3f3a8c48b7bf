"""Frame headers of AAC and of MPEG audio: how long the frame is that each of them begins. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER, _FRAMES = 7, 3
_ADTS_SYNC = 0xFFF0
_MPEG_SYNC = 0xFFE0
_MPEG_2_5, _MPEG_2, _MPEG_1 = 0, 2, 3
_HERTZ = (44_100, 48_000, 32_000)
_HALVINGS = {_MPEG_1: 0, _MPEG_2: 1, _MPEG_2_5: 2}
# By whether it is MPEG 1, and by layer; MPEG 2 has the same for its layers 2 and 3.
_LOW_KBITS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_KBITS = {
    (True, 1): tuple(range(32, 449, 32)),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): _LOW_KBITS,
    (False, 3): _LOW_KBITS,
}


def begins_with_frames(head: bytes, frame_bytes: Callable[[bytes], int]) -> bool:
    """Tell whether three frames follow one another: the few bits that begin one are in other files too."""
    at = 0
    for _ in range(_FRAMES):
        length = frame_bytes(head[at : at + _HEADER])
        if length == 0:
            return False
        at += length
        if at + _HEADER > len(head):
            break
    return True


def adts_frame_bytes(header: bytes) -> int:
    """Return how long the AAC frame is that these bytes begin, 0 if they begin none."""
    # Twelve bits of sync word, then two of layer, which are zero; the length stands in thirteen bits further on.
    if len(header) < _HEADER or int.from_bytes(header[:2]) & 0xFFF6 != _ADTS_SYNC:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length >= _HEADER else 0


def mpeg_frame_bytes(header: bytes) -> int:
    """Return how long the MPEG audio frame is that these bytes begin, 0 if they begin none."""
    if len(header) < _HEADER or int.from_bytes(header[:2]) & _MPEG_SYNC != _MPEG_SYNC:
        return 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate, sampling, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version not in _HALVINGS or layer == 4 or rate in {0, 15} or sampling == 3:  # noqa: PLR2004 - all are reserved
        return 0
    bits, hertz = _KBITS[version == _MPEG_1, layer][rate - 1] * 1000, _HERTZ[sampling] >> _HALVINGS[version]
    if layer == 1:
        return (12 * bits // hertz + padding) * 4
    samples = 576 if layer == 3 and version != _MPEG_1 else 1152  # noqa: PLR2004
    return samples // 8 * bits // hertz + padding

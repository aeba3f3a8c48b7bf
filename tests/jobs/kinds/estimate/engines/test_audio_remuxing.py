"""Only the sound of a recording leaves the house."""

import io

import av
import pytest

from jobs.kinds.estimate.engines.audio_errors import AudioError
from jobs.kinds.estimate.engines.audio_remuxing import remux
from tests.jobs.kinds.estimate.engines.recordings import PRIVATE, TYPES, tone

# What every file of FFmpeg's has, whoever recorded it.
_NEUTRAL = {
    "language": "und", "handler_name": "SoundHandler", "vendor_id": "[0][0][0][0]", "encoder": "Lavf",
    "major_brand": "isom", "minor_version": "512", "compatible_brands": "isomiso2mp41",
}  # fmt: skip


def packets(content: bytes) -> list[tuple[float, bytes]]:
    """Read each piece of sound with its time."""
    with av.open(io.BytesIO(content), "r") as container:
        stream = container.streams.audio[0]
        found = [packet for packet in container.demux(stream) if packet.dts is not None]
        return [(round(float((packet.pts or 0) * (stream.time_base or 1)), 2), bytes(packet)) for packet in found]


@pytest.mark.parametrize("content_type", TYPES)
def test_a_title_a_place_and_a_device_stay_behind(content_type: str) -> None:
    """Nothing private is among the bytes, no tag is one that a recorder wrote, and the sound and its times are kept."""
    content = tone(content_type, tags=True)
    assert content.count(PRIVATE.encode()) > 5
    bare = remux(content, content_type)
    assert PRIVATE.encode() not in bare
    with av.open(io.BytesIO(bare), "r") as container:
        tags = container.metadata | container.streams[0].metadata
        assert len(container.streams) == 1
    tags.pop("DURATION", None)
    assert tags.items() <= _NEUTRAL.items()
    assert packets(bare) == packets(content)


@pytest.mark.parametrize("content", [b"", b"x", b"no audio" * 100, tone()[:200]])
@pytest.mark.parametrize("content_type", TYPES)
def test_what_cannot_be_copied_is_said_in_words(content: bytes, content_type: str) -> None:
    """A damaged file is no crash, whatever it says it is."""
    with pytest.raises(AudioError, match=r"cannot be played|no sound"):
        remux(content, content_type)

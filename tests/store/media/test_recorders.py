"""What phones and browsers record, in the forms that only some of them write."""

import io
from typing import cast

import av
import numpy as np
import pytest

from store.media.decoder import decode
from store.objects import content
from tests.gateway.uploads.files import files


def _recorded(container: str, codec: str, seconds: float = 2.0) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        stream = cast("av.AudioStream", file.add_stream(codec, rate=48_000, layout="mono"))
        samples = (np.sin(np.arange(int(48_000 * seconds)) * 0.06) * 9_000).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 48_000
        for part in av.AudioResampler(stream.format or "s16", "mono", 48_000, frame_size=1024).resample(frame):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize(
    ("body", "declared"),
    [
        (_recorded("matroska", "pcm_f32le"), "audio/webm;codecs=pcm"),
        (_recorded("mov", "aac"), "audio/quicktime"),
        (_recorded("mov", "aac"), "audio/x-m4a"),
        (_recorded("ipod", "aac"), "audio/mp4a-latm"),
        (files.recording("adts"), "audio/vnd.dlna.adts"),
        (bytes(200) + files.recording("mp3"), "audio/mpeg"),
    ],
    ids=["uncompressed webm", "quicktime", "quicktime as m4a", "latm", "dlna", "mp3 after zeros"],
)
def test_odd_forms_of_our_types_are_taken(body: bytes, declared: str) -> None:
    """Its first bytes are known, and its length is right."""
    kind = content.recognise(body[: content.HEAD_BYTES], declared)
    found = decode.check(body, kind.name)
    assert found.problem is None
    assert found.duration_ms == pytest.approx(2000, abs=100)

"""Long recordings are cut where somebody pauses, and their transcripts laid behind one another."""

import io

import av
import pytest

from jobs.kinds.estimate.engines.audio_errors import AudioError
from jobs.kinds.estimate.engines.audio_splitting import split
from jobs.kinds.estimate.engines.transcripts import joined
from tests.jobs.kinds.estimate.material import transcript


def seconds(content: bytes) -> float:
    """Measure a piece by its samples."""
    with av.open(io.BytesIO(content), "r") as container:
        return float(sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0)))


def loudest(content: bytes, start: float, end: float) -> int:
    """Return the loudest sample of a stretch."""
    with av.open(io.BytesIO(content), "r") as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=16_000)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    samples = b"".join(bytes(frame.planes[0])[: frame.samples * 2] for frame in frames)
    return max(memoryview(samples[int(start * 16_000) * 2 : int(end * 16_000) * 2]).cast("h"))


def test_nothing_is_lost_and_each_cut_is_in_a_pause(spoken_note: bytes) -> None:
    """The pieces are as long as the whole, none is longer than asked, and around a cut it is quiet."""
    whole = seconds(spoken_note)
    pieces = split(spoken_note, "audio/webm", piece_seconds=6).pieces
    assert len(pieces) > 1
    assert sum(seconds(piece.content) for piece in pieces) == pytest.approx(whole, abs=0.1 * len(pieces))
    assert all(seconds(piece.content) <= 6.1 for piece in pieces)
    assert all(seconds(piece.content) == pytest.approx(piece.length_ms / 1000, abs=0.2) for piece in pieces)
    loud = loudest(spoken_note, 0, whole)
    for piece in pieces[1:]:
        at = piece.offset_ms / 1000
        assert loudest(spoken_note, at + 0.02, at + 0.08) < loud / 4


def test_a_short_recording_is_one_piece(spoken_note: bytes) -> None:
    """Ten minutes fit."""
    assert [piece.offset_ms for piece in split(spoken_note, "audio/webm").pieces] == [0]


@pytest.mark.parametrize("content", [b"", b"x", b"no audio" * 100])
@pytest.mark.parametrize("content_type", ["audio/webm", "audio/aac", "audio/mp4", "audio/mpeg"])
def test_what_cannot_be_played_is_said_in_words(content: bytes, content_type: str) -> None:
    """A damaged file is no crash, whatever it says it is."""
    with pytest.raises(AudioError, match="cannot be played"):
        split(content, content_type)


def test_the_transcripts_of_pieces_are_one_with_its_own_times() -> None:
    """Each word keeps its place in the whole recording."""
    first, second = transcript("Replace three outlets."), transcript("Paint the hall.")
    whole = joined([(0, first), (60_000, second)])
    assert whole.text == "Replace three outlets. Paint the hall."
    assert [word.start_ms for word in whole.words] == [0, 400, 800, 60_000, 60_400, 60_800]
    assert whole.duration_ms == 60_000 + second.duration_ms

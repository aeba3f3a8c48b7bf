"""A passage is one source read in one go: the typed notes, a photo's label, or a recording's transcript."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from jobs.kinds.estimate.model import Evidence

if TYPE_CHECKING:
    from uuid import UUID

    from jobs.kinds.estimate.model import Transcript
    from jobs.kinds.estimate.rules.reader import Span


@dataclass(frozen=True, slots=True)
class Timed:
    """A stretch of the text with its time in the recording and how surely it was heard."""

    start: int
    end: int
    start_ms: int
    end_ms: int
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Passage:
    """Text with its source; `timed` is empty where nothing was spoken."""

    source: Literal["audio", "notes", "label"]
    text: str
    media_id: UUID | None = None
    timed: tuple[Timed, ...] = ()

    def evidence(self, span: Span) -> Evidence:
        """Quote a stretch of the passage, with its seconds when it was spoken."""
        start, end = span
        heard = self.heard(span)
        return Evidence(
            source=self.source,
            media_id=self.media_id,
            quote=self.text[start:end],
            start_ms=heard[0].start_ms if heard else None,
            end_ms=heard[-1].end_ms if heard else None,
        )

    def heard(self, span: Span) -> tuple[Timed, ...]:
        """Return the words heard in a stretch of the text."""
        return tuple(timed for timed in self.timed if timed.end > span[0] and timed.start < span[1])


def of_transcript(transcript: Transcript) -> Passage:
    """Lay the words of a transcript out as text that knows when each was said."""
    pieces: list[str] = []
    timed: list[Timed] = []
    length = 0
    for text, start_ms, end_ms, probability in _pieces(transcript):
        gap = 1 if pieces else 0
        pieces.append(text)
        timed.append(Timed(length + gap, length + gap + len(text), start_ms, end_ms, probability))
        length += gap + len(text)
    text = " ".join(pieces) if pieces else transcript.text
    return Passage("audio", text, transcript.media_id, tuple(timed))


def _pieces(transcript: Transcript) -> list[tuple[str, int, int, float]]:
    """Prefer words; an engine that gives only segments still gives their times."""
    if transcript.words:
        return [(w.word.strip(), w.start_ms, w.end_ms, w.probability) for w in transcript.words if w.word.strip()]
    return [(s.text.strip(), s.start_ms, s.end_ms, 1.0) for s in transcript.segments if s.text.strip()]

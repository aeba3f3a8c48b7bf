"""Lays the transcripts of a recording's pieces behind one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from jobs.kinds.estimate.model import Segment, Word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.model import Transcript

Timed = TypeVar("Timed", Segment, Word)


def joined(parts: Sequence[tuple[int, Transcript]]) -> Transcript:
    """Lay the transcripts of a recording's pieces, each with its offset in ms, one behind the other."""
    last_offset, last = parts[-1]
    return last.model_copy(
        update={
            "text": " ".join(part.text for _, part in parts if part.heard),
            "duration_ms": last_offset + last.duration_ms,
            "segments": tuple(_later(one, by) for by, part in parts for one in part.segments),
            "words": tuple(_later(one, by) for by, part in parts for one in part.words),
        }
    )


def _later(one: Timed, by_ms: int) -> Timed:
    return one.model_copy(update={"start_ms": one.start_ms + by_ms, "end_ms": one.end_ms + by_ms})

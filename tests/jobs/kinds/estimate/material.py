"""Made-up visits, media and transcripts."""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID, uuid4

from jobs.kinds.estimate.material import Material, Medium
from jobs.kinds.estimate.model import Transcript, Word

WORD_MS = 400


def medium(kind: Literal["photo", "audio"] = "audio", **more: Any) -> Medium:
    """Make a medium; its content type follows its kind."""
    content_type = "image/jpeg" if kind == "photo" else "audio/webm"
    fields = {"media_id": uuid4(), "kind": kind, "content_type": content_type, "storage_path": "t/v/m"}
    return Medium(**{**fields, **more})


def transcript(text: str, media_id: UUID | None = None, *, probability: float = 0.9) -> Transcript:
    """Make a transcript whose words each take 400 ms."""
    words = tuple(
        Word(start_ms=i * WORD_MS, end_ms=(i + 1) * WORD_MS, word=word, probability=probability)
        for i, word in enumerate(text.split())
    )
    return Transcript(
        media_id=media_id or uuid4(),
        text=text,
        language="en",
        duration_ms=len(words) * WORD_MS,
        words=words,
        engine="test",
        model="test",
    )


def material(notes: str = "", media: Sequence[Medium] = ()) -> Material:
    """Make a visit's material."""
    return Material(visit_id=uuid4(), notes=notes, media=tuple(media))

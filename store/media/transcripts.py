"""Transcripts: the words heard in a recording, one row each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from store.pool import Connection
from store.queries import Queries

SQL = Queries("media/transcripts")


@dataclass(frozen=True)
class TranscriptRow:
    """A transcript to save; segments are {start_ms, end_ms, text}, words {start_ms, end_ms, word, probability}."""

    media_id: UUID
    tenant_id: UUID
    visit_id: UUID
    text: str
    language: str | None
    duration_ms: int
    segments: Sequence[dict[str, Any]]
    words: Sequence[dict[str, Any]]
    engine: str
    model: str


async def save(conn: Connection, row: TranscriptRow) -> None:
    """Save a transcript, replacing an earlier one of the same recording."""
    await conn.execute(
        SQL.save_transcript,
        row.media_id,
        row.tenant_id,
        row.visit_id,
        row.text,
        row.language,
        row.duration_ms,
        list(row.segments),
        list(row.words),
        row.engine,
        row.model,
    )


async def of_visit(conn: Connection, visit_id: UUID) -> list[dict[str, Any]]:
    """Return the visit's transcripts in the order of its recordings."""
    return [dict(record) for record in await conn.fetch(SQL.transcripts_of_visit, visit_id)]


async def mark_unusable(conn: Connection, media_id: UUID, problem: str) -> None:
    """Note on a recording or photo that it could not be used; an earlier note stays."""
    await conn.execute(SQL.mark_unusable, media_id, problem)


async def add_note(conn: Connection, media_id: UUID, note: str) -> None:
    """Note on a recording the part that could not be heard; an earlier note stays."""
    await conn.execute(SQL.add_note, media_id, note)

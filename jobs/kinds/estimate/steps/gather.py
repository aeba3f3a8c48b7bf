"""Gathers the visit's contents: notes, media, earlier transcripts and the tenant's terms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobs.kinds.estimate.book.book import EMPTY
from jobs.kinds.estimate.errors import BadInput
from jobs.kinds.estimate.material import Material, Medium
from jobs.kinds.estimate.model import Transcript
from jobs.kinds.estimate.steps.pricing import book_of
from store.estimates import estimates
from store.media import media, transcripts
from store.queue import spending
from store.visits import visits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal
    from uuid import UUID

    from jobs.kinds.estimate.book.book import Book
    from store.estimates.estimates import Terms
    from store.pool import Connection, Record
    from store.queue.spending import Spent


@dataclass(frozen=True, slots=True)
class Gathered:
    """The material, earlier transcripts of it, how the tenant reckons and prices, and the models' cost so far."""

    material: Material
    known: dict[UUID, Transcript]
    terms: Terms
    spent: Spent
    book: Book = EMPTY
    prices: Mapping[UUID, Decimal] = field(default_factory=dict)


async def gather(conn: Connection, tenant_id: UUID, visit_id: UUID, job_id: UUID) -> Gathered:
    """Read everything about a visit. Raises `NotFound`, and `BadInput` for a visit of another tenant."""
    visit = await visits.get(conn, visit_id)
    if visit["tenant_id"] != tenant_id:
        raise BadInput("The visit belongs to another tenant.")
    material = Material(
        visit_id=visit_id,
        title=visit["title"],
        address=visit["address"],
        notes=visit["notes"],
        media=tuple(_medium(row) for row in await media.of_visit(conn, visit_id)),
    )
    known = {row["media_id"]: _transcript(row) for row in await transcripts.of_visit(conn, visit_id)}
    spent = await spending.spent(conn, tenant_id, job_id)
    terms = await estimates.terms(conn, tenant_id)
    book, prices = await book_of(conn, tenant_id)
    return Gathered(material, known, terms, spent, book, prices)


def _medium(row: Record) -> Medium:
    return Medium(
        media_id=row["id"],
        kind=row["media_type"],
        content_type=row["content_type"],
        storage_path=row["storage_path"],
        label=row["label"] or None,
        sequence=row["sequence"],
        sha256=row["sha256"],
        duration_ms=row["duration_ms"],
        problem=row["problem"],
        note=row["note"],
    )


def _transcript(row: dict[str, Any]) -> Transcript:
    fields = ("media_id", "text", "language", "duration_ms", "segments", "words", "engine", "model")
    return Transcript.model_validate({name: row[name] for name in fields})

"""Reads a model's answers into our values. Pure: short names back to ids, units to canonical ones, shares to 0..1."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

from jobs.kinds.estimate.engines.prompts import names_of
from jobs.kinds.estimate.errors import MalformedAnswer
from jobs.kinds.estimate.model import (
    Draft,
    DraftLine,
    Evidence,
    Observations,
    Print,
    Region,
    Segment,
    Sight,
    Transcript,
    Word,
)
from store.estimates.units import EACH, canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.kinds.estimate.engines.openai.schema import (
        AskedEvidence,
        AskedLine,
        AskedRegion,
        DraftAnswer,
        LookAnswer,
        Spoken,
    )
    from jobs.kinds.estimate.material import Material, Medium


_ENGINE = "openai"
_LONGEST, _LONGEST_UNIT, _LONGEST_CATEGORY = 500, 32, 100
_LARGEST = Decimal(999_999_999)
_SHOWN = 80
NOT_STATED = "quantity not stated"


def transcript_of(spoken: Spoken, medium: Medium, *, model: str) -> Transcript:
    """Turn seconds into milliseconds; the length is the provider's, else the phone's, else its last word's end."""
    segments = tuple(
        Segment(start_ms=_ms(s.start), end_ms=_ms(s.end), text=s.text.strip()) for s in spoken.segments or ()
    )
    words = tuple(Word(start_ms=_ms(w.start), end_ms=_ms(w.end), word=w.word.strip()) for w in spoken.words or ())
    last = max([segment.end_ms for segment in segments] + [word.end_ms for word in words], default=0)
    duration = _ms(spoken.duration) if spoken.duration is not None else medium.duration_ms or last
    return Transcript(
        media_id=medium.media_id,
        text=spoken.text.strip(),
        language=spoken.language,
        duration_ms=duration,
        segments=segments,
        words=words,
        engine=_ENGINE,
        model=model,
    )


def observations_of(answer: LookAnswer, medium: Medium) -> Observations:
    """Read a description of a photo; an invalid region is left out, the rest stays."""
    sights = tuple(
        Sight(what=sight.what, region=_region(sight.region), confidence=_share(sight.confidence))
        for sight in answer.sights
    )
    return Observations(
        media_id=medium.media_id,
        analysed=True,
        sights=sights,
        text_read=tuple(Print(text=text) for text in answer.text_read),
    )


def draft_of(answer: DraftAnswer, material: Material, *, model: str) -> Draft:
    """Read a draft. A line without words or with an impossible amount costs itself alone, and is told."""
    names = names_of(material.media)
    lines, unread = [], []
    for asked in answer.lines:
        try:
            lines.append(line_of(asked, names))
        except MalformedAnswer:
            unread.append(f"A line of the model could not be read: “{asked.description[:_SHOWN]}” ({asked.quantity}).")
    if unread and not lines:
        raise MalformedAnswer("No line of the model's answer could be read.")
    return Draft(
        lines=tuple(lines),
        summary=answer.summary.strip(),
        engine=_ENGINE,
        model=model,
        notes_on_coverage=(*(note.strip() for note in answer.coverage if note.strip()), *unread),
    )


def line_of(asked: AskedLine, names: Mapping[str, Medium]) -> DraftLine:
    """Read one line. Raises `MalformedAnswer` for one without words or with an impossible amount."""
    description = " ".join(asked.description.split())[:_LONGEST]
    quantity = Decimal(1) if asked.quantity is None else _quantity(asked.quantity)
    if not description or quantity is None:
        raise MalformedAnswer("The model's answer has a line without words or without an amount.")
    line = DraftLine(
        description=description,
        category=(asked.category.strip().lower() or "general")[:_LONGEST_CATEGORY],
        quantity=quantity,
        unit=(canonical(asked.unit) or EACH)[:_LONGEST_UNIT],
        evidence=tuple(_evidence(evidence, names) for evidence in asked.evidence),
        assumptions=tuple(asked.assumptions),
        confidence=_share(asked.confidence),
    )
    reasons = asked.review_reasons or (["the model asks for a review"] if asked.needs_review else [])
    return line.flagged(*reasons, *(() if asked.quantity is not None else (NOT_STATED,)))


def _evidence(asked: AskedEvidence, names: Mapping[str, Medium]) -> Evidence:
    """Keep the claim as it is, where a value can hold it; `jobs.kinds.estimate.evidence` judges it."""
    medium = names.get(asked.medium or "")
    sane = None not in (asked.start_ms, asked.end_ms) and min(asked.start_ms or 0, asked.end_ms or 0) >= 0
    return Evidence(
        source=asked.source,
        media_id=medium.media_id if medium else None,
        quote=asked.quote,
        start_ms=asked.start_ms if sane else None,
        end_ms=asked.end_ms if sane else None,
        region=_region(asked.region),
    )


def _region(asked: AskedRegion | None) -> Region | None:
    if asked is None or not all(0 <= value <= 1 for value in (asked.x, asked.y, asked.w, asked.h)):
        return None
    return Region(x=asked.x, y=asked.y, w=asked.w, h=asked.h)


def _quantity(value: float) -> Decimal | None:
    if not math.isfinite(value):
        return None
    quantity = Decimal(str(value)).quantize(Decimal("0.001")).normalize()
    quantity = quantity.quantize(Decimal(1)) if quantity == quantity.to_integral() else quantity
    return quantity if 0 < quantity <= _LARGEST else None


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0


def _ms(seconds: float) -> int:
    return max(round(seconds * 1000), 0)

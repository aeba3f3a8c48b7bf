"""What an edit does to an estimate's lines, and how two versions differ. Pure."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from gateway.body import Price, Trimmed
from store.errors import Unprocessable
from store.estimates import NewLine

Line: TypeAlias = Mapping[str, Any]

BY_HAND = "Added by hand: nothing in the visit shows it."
NO_PRICE = "No price yet."
_TEXT = ("description", "category", "unit")
_COMPARED = ("description", "category", "quantity", "unit", "unit_price")


class EditedLine(BaseModel):
    """A line as the contractor wants it; `id` names the line of the edited version it continues."""

    model_config = ConfigDict(extra="forbid")

    id: UUID | None = None
    description: Annotated[str, Trimmed, Field(min_length=1, max_length=500)]
    category: Annotated[str, Trimmed, Field(max_length=100)] | None = None
    quantity: Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=3)]
    unit: Annotated[str, Trimmed, Field(min_length=1, max_length=32)]
    unit_price: Price | None


class LineEdit(BaseModel):
    """All lines of the next version, in order."""

    model_config = ConfigDict(extra="forbid")

    lines: Annotated[list[EditedLine], Field(min_length=1, max_length=500)]


def apply_edit(old: Sequence[Line], edit: LineEdit) -> list[NewLine]:
    """Return the lines of the next version; a line that goes on keeps its evidence.

    Raises `Unprocessable` when an id is not a line of the edited version, or is there twice.
    """
    left = {line["id"]: line for line in old}
    return [_next(_continued(left, wanted.id, place), wanted) for place, wanted in enumerate(edit.lines)]


def differences(old: Sequence[Line], new: Sequence[Line]) -> list[dict[str, Any]]:
    """Tell what a newer version has changed: [{change: added|removed|changed, description, before?, after?}].

    Lines are the same when their descriptions are, or else when they stand at the same place and are the only ones
    without a counterpart there.
    """
    pairs = _pairs(old, new)
    return [difference for before, after in pairs if (difference := _difference(before, after))]


def _continued(left: dict[UUID, Line], line_id: UUID | None, place: int) -> Line | None:
    if line_id is None:
        return None
    if line_id not in left:
        message = "This is not a line of the edited version, or it stands here twice; leave `id` out for a new line."
        errors = [{"field": f"lines.{place}.id", "message": message}]
        raise Unprocessable("Some fields cannot be used; see errors.", errors=errors)
    return left.pop(line_id)


def _next(old: Line | None, wanted: EditedLine) -> NewLine:
    if old is None:
        return NewLine(
            description=wanted.description,
            category=wanted.category or "",
            quantity=wanted.quantity,
            unit=wanted.unit,
            unit_price=wanted.unit_price,
            needs_review=True,
            review_reasons=(BY_HAND,) if wanted.unit_price is not None else (BY_HAND, NO_PRICE),
        )
    category = old["category"] if wanted.category is None else wanted.category
    same = _shown(old) == _shown({**wanted.model_dump(), "category": category})
    return _unchanged(old) if same else _changed(old, wanted, category)


def _unchanged(old: Line) -> NewLine:
    return NewLine(
        **{name: old[name] for name in _TEXT},
        quantity=Decimal(old["quantity"]),
        unit_price=old["unit_price"],
        price_item_id=old["price_item_id"],
        match=old["match"],
        evidence=old["evidence"],
        assumptions=old["assumptions"],
        confidence=old["confidence"],
        needs_review=old["needs_review"],
        review_reasons=old["review_reasons"],
    )


def _changed(old: Line, wanted: EditedLine, category: str) -> NewLine:
    """Take the contractor's word for it: what a person has just written needs no second look, but for its gaps."""
    from_book = (old["unit_price"], old["unit"]) == (wanted.unit_price, wanted.unit)
    reasons = [
        reason for reason, holds in ((BY_HAND, not old["evidence"]), (NO_PRICE, wanted.unit_price is None)) if holds
    ]
    return NewLine(
        description=wanted.description,
        category=category,
        quantity=wanted.quantity,
        unit=wanted.unit,
        unit_price=wanted.unit_price,
        price_item_id=old["price_item_id"] if from_book else None,
        match=old["match"] if from_book else None,
        evidence=old["evidence"],
        assumptions=old["assumptions"],
        confidence=old["confidence"],
        needs_review=bool(reasons),
        review_reasons=reasons,
    )


def _pairs(old: Sequence[Line], new: Sequence[Line]) -> list[tuple[Line | None, Line | None]]:
    waiting = dict(enumerate(old))
    matched: list[tuple[Line | None, Line | None]] = []
    unmatched: list[tuple[int, Line]] = []
    for place, line in enumerate(new):
        at = next((p for p, before in waiting.items() if before["description"] == line["description"]), None)
        if at is None:
            unmatched.append((place, line))
        else:
            matched.append((waiting.pop(at), line))
    matched += [(waiting.pop(place, None), line) for place, line in unmatched]
    return matched + [(line, None) for line in waiting.values()]


def _difference(before: Line | None, after: Line | None) -> dict[str, Any] | None:
    if before is None and after is not None:
        return {"change": "added", "description": after["description"], "after": _shown(after)}
    if after is None and before is not None:
        return {"change": "removed", "description": before["description"], "before": _shown(before)}
    assert before is not None  # noqa: S101 - a pair has at least one side
    assert after is not None  # noqa: S101
    was, now = _shown(before), _shown(after)
    changed = [name for name in _COMPARED if was[name] != now[name]]
    if not changed:
        return None
    return {
        "change": "changed",
        "description": after["description"],
        "before": {name: was[name] for name in changed},
        "after": {name: now[name] for name in changed},
    }


def _shown(line: Line) -> dict[str, Any]:
    """Return what a customer sees of a line, in one form whether it comes from the database or from an edit."""
    price = line["unit_price"]
    return {name: line[name] for name in _TEXT} | {
        "quantity": f"{Decimal(line['quantity']):.3f}",
        "unit_price": None if price is None else f"{Decimal(price):.2f}",
    }

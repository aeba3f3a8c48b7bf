"""The effect of an edit on an estimate: its lines, its terms of price and its options. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.estimates.line_differences import Line, shown
from gateway.http.body import Trimmed
from gateway.http.input.number_fields import DiscountRate, Price, Quantity, Rate, TaxRate
from gateway.http.input.text import OneLine
from store.errors import Unprocessable
from store.estimates import money
from store.estimates.estimates import NewLine, adjustments_of

NO_PRICE = "No price yet."
_TEXT = ("description", "category", "unit")


OptionName = Annotated[OneLine, Trimmed, Field(min_length=1, max_length=60)]


# What a line has when it is read and an edit cannot set: it may be sent back, and changes nothing.
READ_ONLY = frozenset(
    {"position", "amount", "price_item_id", "match", "evidence", "assumptions", "confidence", "needs_review"}
    | {"review_reasons"}
)


def _with_read_only(schema: dict[str, Any]) -> None:
    """Describe a read-only field: it may be sent back as it was read."""
    ignored = {"readOnly": True, "description": "As it was read; it is ignored."}
    schema["properties"] |= dict.fromkeys(sorted(READ_ONLY), ignored)


class EditedLine(BaseModel):
    """A line as the contractor wants it; `id` names the line of the edited version it continues.

    Fields that only an answer has may be sent back as they were read: they are ignored.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra=_with_read_only)

    id: UUID | None = None
    description: Annotated[OneLine, Trimmed, Field(min_length=1, max_length=500)]
    category: Annotated[OneLine, Trimmed, Field(max_length=100)] | None = None
    quantity: Quantity
    unit: Annotated[OneLine, Trimmed, Field(min_length=1, max_length=32)]
    unit_price: Price | None
    option: Annotated[OneLine, Trimmed, Field(max_length=60)] = ""
    learn: bool = Field(default=False, description="Save the price to the price book too.")
    confirmed: bool = Field(
        default=False, description="The contractor has checked the line: nothing is left to confirm."
    )

    @model_validator(mode="before")
    @classmethod
    def _without_read_only(cls, sent: Any) -> Any:
        return (
            {name: value for name, value in sent.items() if name not in READ_ONLY} if isinstance(sent, dict) else sent
        )


class Discount(BaseModel):
    """A share of the lines and their markup, or a fixed sum."""

    model_config = ConfigDict(extra="forbid")

    rate: DiscountRate | None = None
    amount: Price | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if (self.rate is None) == (self.amount is None):
            raise ValueError("Give either a rate or an amount.")
        return self


class LineEdit(BaseModel):
    """All lines of the next version, in order; terms and options that are left out stay as they are."""

    model_config = ConfigDict(extra="forbid")

    lines: Annotated[list[EditedLine], Field(min_length=1, max_length=500)]
    tax_rate: TaxRate | None = None
    markup_rate: Rate | None = None
    discount: Discount | None = None
    options: Annotated[list[OptionName], Field(max_length=5)] | None = None
    chosen_option: Annotated[OneLine, Trimmed, Field(max_length=60)] | None = None


@dataclass(frozen=True)
class Terms:
    """The next version's terms and options."""

    tax_rate: Decimal
    adjustments: money.Adjustments
    options: tuple[str, ...]
    chosen_option: str


def next_terms(old: Mapping[str, Any], edit: LineEdit) -> Terms:
    """Return the terms of the next version.

    Raises `Unprocessable` when the options are not distinct, the chosen one is none of them, or a line's is not.
    """
    before, options = adjustments_of(old), tuple(old["options"] if edit.options is None else edit.options)
    kept = old["chosen_option"] if old["chosen_option"] in options else ""
    chosen = (edit.chosen_option or kept or options[0]) if options else ""
    _require_options(options, chosen, edit)
    return Terms(
        tax_rate=Decimal(old["tax_rate"]) if edit.tax_rate is None else edit.tax_rate,
        adjustments=replace(
            _discounted(before, edit.discount),
            markup_rate=before.markup_rate if edit.markup_rate is None else edit.markup_rate,
        ),
        options=options,
        chosen_option=chosen,
    )


def apply_edit(old: Sequence[Line], edit: LineEdit) -> list[NewLine]:
    """Return the lines of the next version; a line that goes on keeps its evidence.

    Raises `Unprocessable` when an id is not a line of the edited version, or is there twice.
    """
    left = {line["id"]: line for line in old}
    return [_next(_continued(left, wanted.id, place), wanted) for place, wanted in enumerate(edit.lines)]


def _discounted(before: money.Adjustments, wanted: Discount | None) -> money.Adjustments:
    if wanted is None:
        return before
    fixed = wanted.amount if wanted.amount is not None else Decimal(0)
    return money.Adjustments(discount_rate=wanted.rate, discount_fixed=fixed)


def _require_options(options: Sequence[str], chosen: str, edit: LineEdit) -> None:
    errors = []
    if len(set(options)) < len(options):
        errors.append({"field": "options", "message": "Each option needs a name of its own."})
    if options and chosen not in options:
        errors.append({"field": "chosen_option", "message": "This is none of the options."})
    errors += [
        {"field": f"lines.{place}.option", "message": "This is none of the options."}
        for place, line in enumerate(edit.lines)
        if line.option and line.option not in options
    ]
    if errors:
        raise Unprocessable("Some fields cannot be used; see errors.", errors=errors)


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
            option=wanted.option,
            needs_review=bool(_gaps(wanted)),
            review_reasons=_gaps(wanted),
        )
    category = old["category"] if wanted.category is None else wanted.category
    # To offer a line in another option is no second look at it.
    same = shown({**old, "option": wanted.option}) == shown({**wanted.model_dump(), "category": category})
    return _unchanged(old, wanted) if same else _changed(old, wanted, category)


def _unchanged(old: Line, wanted: EditedLine) -> NewLine:
    return NewLine(
        **{name: old[name] for name in _TEXT},
        quantity=Decimal(old["quantity"]),
        unit_price=old["unit_price"],
        option=wanted.option,
        price_item_id=old["price_item_id"],
        match=old["match"],
        evidence=old["evidence"],
        assumptions=old["assumptions"],
        confidence=old["confidence"],
        needs_review=old["needs_review"] and not wanted.confirmed,
        review_reasons=() if wanted.confirmed else old["review_reasons"],
    )


def _changed(old: Line, wanted: EditedLine, category: str) -> NewLine:
    """Take the contractor's word: a line just written by a person needs no second look, but for its gaps."""
    from_book = (old["unit_price"], old["unit"]) == (wanted.unit_price, wanted.unit)
    gaps = _gaps(wanted)
    return NewLine(
        description=wanted.description,
        category=category,
        quantity=wanted.quantity,
        unit=wanted.unit,
        unit_price=wanted.unit_price,
        option=wanted.option,
        price_item_id=old["price_item_id"] if from_book else None,
        match=old["match"] if from_book else None,
        evidence=old["evidence"],
        assumptions=old["assumptions"],
        confidence=old["confidence"],
        needs_review=bool(gaps),
        review_reasons=gaps,
    )


def _gaps(wanted: EditedLine) -> tuple[str, ...]:
    return (NO_PRICE,) if wanted.unit_price is None and not wanted.confirmed else ()

"""Estimates: a row is one version of a visit's estimate, and an edit makes the next one."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson

from store.errors import Conflict, NotFound
from store.estimates import money
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("estimates/estimates")
_RATES = ("tax_rate", "markup_rate", "discount_rate")


@dataclass(frozen=True)
class NewLine:
    """A line to save. `unit_price` None is unpriced; evidence and match are plain JSON values."""

    description: str
    quantity: Decimal
    unit: str
    unit_price: Decimal | None = None
    category: str = ""
    price_item_id: UUID | None = None
    match: dict[str, Any] | None = None
    evidence: Sequence[dict[str, Any]] = ()
    assumptions: Sequence[str] = ()
    confidence: float | None = None
    needs_review: bool = False
    review_reasons: Sequence[str] = ()
    option: str = ""  # of good, better, best; "" stands in every one

    @property
    def amount(self) -> Decimal | None:
        """Quantity times price in cents, None when unpriced."""
        return money.line_amount(self.quantity, self.unit_price)


@dataclass(frozen=True)
class Offer:
    """The content a customer agrees to: lines, terms of price and options."""

    currency: str
    tax_rate: Decimal
    lines: Sequence[NewLine]
    adjustments: money.Adjustments = money.NONE
    options: Sequence[str] = ()
    chosen_option: str = ""

    @property
    def sums(self) -> money.Sums:
        """The sums over the lines of the chosen option and those that stand in every option."""
        counted = (line.amount for line in self.lines if line.option in {"", self.chosen_option})
        return money.totals(counted, self.tax_rate, self.adjustments)

    @property
    def content_hash(self) -> str:
        """The sha256 (hex) of the offer in one canonical form."""
        sums = self.sums
        content = {
            "currency": self.currency,
            "lines": [_content(line) for line in self.lines],
            "subtotal": _cents(sums.subtotal),
            "tax": _cents(sums.tax),
            "tax_rate": plain(self.tax_rate),
            "total": _cents(sums.total),
            **self._terms(sums),
        }
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def _terms(self, sums: money.Sums) -> dict[str, Any]:
        """Markup, discount and options, where there are any: without them a version hashes as it always has."""
        terms: dict[str, Any] = {}
        if self.adjustments != money.NONE:
            terms |= {"markup": _cents(sums.markup), "discount": _cents(sums.discount)}
        if self.options:
            lines = [line.option for line in self.lines]
            terms |= {"options": list(self.options), "chosen_option": self.chosen_option, "option_of_line": lines}
        return terms


@dataclass(frozen=True)
class NewEstimate:
    """A version to save. `job_id` is None and `created_by` set when a person made it by an edit."""

    tenant_id: UUID
    visit_id: UUID
    engine: str
    model: str
    currency: str
    tax_rate: Decimal
    lines: Sequence[NewLine]
    summary: str = ""
    coverage: Sequence[str] = ()
    usage: dict[str, Any] = field(default_factory=dict)
    job_id: UUID | None = None
    created_by: UUID | None = None
    adjustments: money.Adjustments = money.NONE
    options: Sequence[str] = ()
    chosen_option: str = ""

    @property
    def offer(self) -> Offer:
        """The part a customer agrees to."""
        terms = (self.adjustments, self.options, self.chosen_option)
        return Offer(self.currency, self.tax_rate, self.lines, *terms)

    @property
    def sums(self) -> money.Sums:
        """The estimate's totals."""
        return self.offer.sums

    @property
    def content_hash(self) -> str:
        """The sha256 (hex) of the content a customer agrees to."""
        return self.offer.content_hash


@dataclass(frozen=True)
class Terms:
    """A tenant's settings for its estimates' sums."""

    currency: str = "USD"
    tax_rate: Decimal = Decimal(0)


async def terms(conn: Connection, tenant_id: UUID) -> Terms:
    """Return a tenant's currency and tax rate; the schema's defaults when nothing was set."""
    record = await conn.fetchrow(SQL.terms_of_tenant, tenant_id)
    return Terms(record["currency"], record["tax_rate"]) if record else Terms()


async def save_version(conn: Connection, new: NewEstimate, *, after: int | None = None) -> dict[str, Any]:
    """Save the next version of a visit's estimate and return it as `get` would.

    `after` is the version the writer started from: `Conflict` (with `latest_version`) when it is no longer the
    newest. Raises `NotFound` for an unknown visit. Run it in a transaction.
    """
    if await conn.fetchval(SQL.lock_visit, new.visit_id) is None:
        raise NotFound("No such visit.")
    latest: int = await conn.fetchval(SQL.latest_version, new.visit_id)
    if after is not None and after != latest:
        raise Conflict(
            f"This estimate was updated: version {latest} is the newest. Make the change there.",
            latest_version=latest,
        )
    estimate_id: UUID = await conn.fetchval(SQL.insert_estimate, *_estimate_row(new, latest + 1))
    rows = [_line_row(new, estimate_id, i, line) for i, line in enumerate(new.lines, start=1)]
    await conn.executemany(SQL.insert_line, rows)
    return await get(conn, estimate_id)


async def get(conn: Connection, estimate_id: UUID) -> dict[str, Any]:
    """Return one version with its lines; `NotFound` when there is none (or it is another tenant's)."""
    record = await conn.fetchrow(SQL.get_estimate, estimate_id)
    if record is None:
        raise NotFound("No such estimate.")
    return await _with_lines(conn, record)


async def versions(conn: Connection, visit_id: UUID, limit: int, before: int | None = None) -> list[Record]:
    """Return the visit's versions before one without their lines, newest first."""
    return await conn.fetch(SQL.versions_of_visit, visit_id, limit, before)


async def version(conn: Connection, visit_id: UUID, number: int) -> dict[str, Any] | None:
    """Return one version of a visit's estimate by its number, or None."""
    record = await conn.fetchrow(SQL.version_of_visit, visit_id, number)
    return await _with_lines(conn, record) if record else None


def adjustments_of(estimate: Mapping[str, Any]) -> money.Adjustments:
    """Read a stored version's markup and discount."""
    rate = estimate["discount_rate"]
    return money.Adjustments(
        markup_rate=Decimal(estimate["markup_rate"]),
        discount_rate=None if rate is None else Decimal(rate),
        discount_fixed=Decimal(estimate["discount_fixed"]),
    )


async def newest_id(conn: Connection, visit_id: UUID) -> UUID | None:
    """Return the id of the newest version."""
    found: UUID | None = await conn.fetchval(SQL.newest_id, visit_id)
    return found


async def latest_for_visit(conn: Connection, visit_id: UUID) -> dict[str, Any] | None:
    """Return the newest version with its lines, or None while there is none."""
    record = await conn.fetchrow(SQL.latest_of_visit, visit_id)
    return await _with_lines(conn, record) if record else None


def computed_hash(estimate: Mapping[str, Any]) -> str:
    """Reckon a stored version's content hash anew, from its rows as `get` returns them."""
    lines = [
        NewLine(
            description=line["description"],
            category=line["category"],
            quantity=Decimal(line["quantity"]),
            unit=line["unit"],
            unit_price=line["unit_price"],
            option=line["option"],
        )
        for line in estimate["lines"]
    ]
    terms = (adjustments_of(estimate), estimate["options"], estimate["chosen_option"])
    return Offer(estimate["currency"], Decimal(estimate["tax_rate"]), lines, *terms).content_hash


def plain(value: Decimal) -> str:
    """Write a Decimal without trailing zeros and without an exponent: "2.5", "40"."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


async def _with_lines(conn: Connection, record: Record) -> dict[str, Any]:
    lines = await conn.fetch(SQL.lines_of_estimate, record["id"])
    rates = {name: plain(record[name]) for name in _RATES if record[name] is not None}
    return {**record, **rates, "lines": [_line(line) for line in lines]}


def _line(record: Record) -> dict[str, Any]:
    confidence = record["confidence"]
    return {
        **record,
        "quantity": plain(record["quantity"]),
        "confidence": None if confidence is None else float(confidence),
    }


def _estimate_row(new: NewEstimate, version: int) -> tuple[Any, ...]:
    sums = new.sums
    return (
        new.tenant_id,
        new.visit_id,
        version,
        new.job_id,
        new.engine,
        new.model,
        new.summary,
        list(new.coverage),
        new.usage,
        new.currency,
        sums.subtotal,
        sums.tax_rate,
        sums.tax,
        sums.total,
        len(new.lines),
        sums.unpriced_count,
        new.content_hash,
        new.created_by,
        new.adjustments.markup_rate,
        sums.markup,
        new.adjustments.discount_rate,
        new.adjustments.discount_fixed,
        sums.discount,
        list(new.options),
        new.chosen_option,
    )


def _line_row(new: NewEstimate, estimate_id: UUID, position: int, line: NewLine) -> tuple[Any, ...]:
    return (
        new.tenant_id,
        estimate_id,
        position,
        line.description,
        line.category,
        line.quantity,
        line.unit,
        line.unit_price,
        line.amount,
        line.price_item_id,
        line.match,
        list(line.evidence),
        list(line.assumptions),
        None if line.confidence is None else Decimal(str(round(line.confidence, 3))),
        line.needs_review,
        list(line.review_reasons),
        line.option,
    )


def _content(line: NewLine) -> dict[str, str | None]:
    return {
        "amount": _cents(line.amount),
        "category": line.category,
        "description": line.description,
        "quantity": plain(line.quantity),
        "unit": line.unit,
        "unit_price": _cents(line.unit_price),
    }


def _cents(value: Decimal | None) -> str | None:
    return None if value is None else f"{money.to_cents(value):f}"

"""The document a customer reads, as its template needs it: pure, from the database's JSON to words and figures.

The draft's sources are the contractor's alone: no quote, assumption, coverage note, confidence or reason to
look again is in the document.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from store.documents.certificate import Certificate
from store.documents.display import Display, fold, unit_price
from store.estimates.money import to_cents

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£", "CAD": "CA$", "AUD": "A$", "NZD": "NZ$"}
_NO_TRADE = frozenset({"", "general"})
_SINGULAR = {"hours": "hour", "days": "day", "squares": "square", "bags": "bag", "sheets": "sheet", "rolls": "roll"}


@dataclass(frozen=True)
class Photo:
    """A photo some line cites; `number` is how the document refers to it."""

    id: str
    number: int
    label: str

    @property
    def uuid(self) -> UUID:
        """The medium it is."""
        return UUID(self.id)

    @property
    def alt(self) -> str:
        """The text in place of the picture, for screen readers."""
        return f"Photo {self.number}: {self.label}" if self.label else f"Photo {self.number} from the site visit"


@dataclass(frozen=True)
class Line:
    """A line of work. What the customer is not shown is empty; `is_open` while its price is still to be confirmed."""

    description: str
    quantity: str  # with its unit: `2.5 hours`
    unit_price: str
    amount: str
    is_open: bool
    photos: tuple[Photo, ...]


@dataclass(frozen=True)
class Group:
    """The lines of one trade or option, and the sum of those with a price; empty where no line shows its price."""

    name: str
    lines: tuple[Line, ...]
    subtotal: str


@dataclass(frozen=True)
class Priced:
    """A line's JSON with the price and the amount that the customer is shown."""

    line: Mapping[str, Any]
    unit_price: Decimal | None
    amount: Decimal | None


@dataclass(frozen=True)
class Message:
    """A message of the thread; `is_ours` where the contractor wrote it."""

    writer: str
    is_ours: bool
    body: str
    sent: str


@dataclass(frozen=True)
class Document:
    """Everything the page shows; `source` is the JSON of `scopekit.document_of`."""

    source: Mapping[str, Any]
    asked_option: str = ""  # which option the customer looks at; another text than one of them is the offered one

    @property
    def business(self) -> Mapping[str, Any]:
        """The contractor: name, and those of address, phone, email and license that are known."""
        known: Mapping[str, Any] = self.source["business"]
        return {**known, "name": known.get("business_name") or known["name"]}

    @cached_property  # asked for once a line
    def display(self) -> Display:
        """The contractor's choice of parts that are shown."""
        return Display.of(self.source.get("display", {}))

    @property
    def terms(self) -> str:
        """The terms of the offer; after an acceptance the terms accepted then."""
        terms: str = self.certificate.facts["terms"] if self.certificate else self.business.get("terms", "")
        return terms

    @property
    def visit(self) -> Mapping[str, Any]:
        """The customer's name and address, and the visit's title."""
        found: Mapping[str, Any] = self.source["visit"]
        return found

    @property
    def estimate(self) -> Mapping[str, Any]:
        """The version's own fields, its sums those of the selection."""
        return {**self.source["estimate"], **self.selection, "chosen_option": self.chosen_option}

    @property
    def selections(self) -> tuple[tuple[str, str], ...]:
        """The options to pick from, each with its total."""
        found = self.source["estimate"].get("selections", ())
        return tuple((each["option"], self._money(each["total"])) for each in found if each["option"])

    @cached_property
    def selection(self) -> Mapping[str, Any]:
        """The sums and the hash of the chosen option."""
        found = self.source["estimate"].get("selections", ())
        return next((each for each in found if each["option"] == self.chosen_option), {})

    @property
    def decision(self) -> Mapping[str, Any] | None:
        """The decision there is, if any."""
        found: Mapping[str, Any] | None = self.source["decision"]
        return found

    @property
    def thread(self) -> tuple[Message, ...]:
        """Questions, answers and comments on decisions, oldest first."""
        return tuple(
            Message(
                writer=self.business["name"] if row["kind"] == "answer" else row["name"] or self.addressee,
                is_ours=row["kind"] == "answer",
                body=row["body"],
                sent=moment(self._moment(row["sent_at"])),
            )
            for row in self.source.get("thread", ())
        )

    @property
    def certificate(self) -> Certificate | None:
        """The certificate of the acceptance, if it was accepted."""
        return Certificate.of_decision(self.decision)

    @property
    def number(self) -> str:
        """The estimate's number: its visit's year and the random end of the visit's id."""
        return f"{self._moment(self.visit['visited_at']).year}-{self.visit['id'][-6:].upper()}"

    @property
    def is_open(self) -> bool:
        """Whether a decision can still be made on this version."""
        return self.decision is None and bool(self.estimate["is_newest"])

    @cached_property  # asked for once a line
    def photos(self) -> tuple[Photo, ...]:
        """The cited photos that are shown, numbered from 1 in the order the lines first cite them."""
        display = self.display
        shown = (row for row in self.source["photos"] if display.photos and row["id"] not in display.hidden_photos)
        known = {row["id"]: row for row in shown}
        cited = dict.fromkeys(key for line in self.source["lines"] for key in line["photos"] if key in known)
        return tuple(Photo(key, number, known[key]["label"]) for number, key in enumerate(cited, start=1))

    @property
    def groups(self) -> tuple[Group, ...]:
        """The lines of the offer by trade, trades in the order they first appear."""
        trades: dict[str, list[Priced]] = {}
        for priced in self._priced(self.chosen_option):
            trades.setdefault(trade_name(priced.line["category"]), []).append(priced)
        return tuple(self._group(name, lines) for name, lines in trades.items())

    @property
    def addressee(self) -> str:
        """The customer it was made for."""
        name: str = self.visit["customer_name"] or self.source["share"]["recipient"] or "Our customer"
        return name

    @property
    def still_open(self) -> str:
        """Say which lines the total leaves out; empty when none."""
        count = self.estimate["unpriced_count"]
        if not count:
            return ""
        return (
            f"{'One item is' if count == 1 else f'{count} items are'} still to be confirmed and not part of this total."
        )

    @property
    def alternatives(self) -> tuple[Group, ...]:
        """The other options: their own lines, and the subtotal with each."""
        return tuple(
            self._alternative(option["name"])
            for option in self.estimate["options"]
            if option["name"] != self.chosen_option
        )

    @property
    def chosen_option(self) -> str:
        """The option that was accepted, else the one looked at, else the one offered; empty where there are none."""
        estimate = self.source["estimate"]
        options = {option["name"] for option in estimate["options"]}
        picked = [(self.decision or {}).get("option", ""), self.asked_option if self.decision is None else ""]
        offered: str = estimate["chosen_option"]
        return next((name for name in picked if name in options), offered)

    @property
    def sums(self) -> tuple[tuple[str, str], ...]:
        """The rows down to the total: the lines, overhead and profit unless in the prices, less a discount."""
        rows = [("Subtotal", self.subtotal)]
        if Decimal(self.estimate["markup"]) and self.display.markup == "line":
            rows.append(("Overhead and profit", self._money(self.estimate["markup"])))
        if Decimal(self.estimate["discount"]):
            rows.append(("Discount", f"\N{MINUS SIGN}{self._money(self.estimate['discount'])}"))
        return (*rows, (self.tax_label, self.tax))

    @property
    def subtotal(self) -> str:
        """Of the lines with a price, as they are shown."""
        folded = Decimal(self.estimate["markup"]) if self.display.markup == "folded" else Decimal(0)
        return self._money(Decimal(self.estimate["subtotal"]) + folded)

    @property
    def tax(self) -> str:
        """On the subtotal."""
        return self._money(self.estimate["tax"])

    @property
    def tax_label(self) -> str:
        """`Tax (8.25%)`."""
        return f"Tax ({plain(Decimal(self.estimate['tax_rate']) * 100)}%)"

    @property
    def total(self) -> str:
        """Subtotal and tax."""
        return self._money(self.estimate["total"])

    @property
    def dated(self) -> str:
        """The day this version was made."""
        return day(self._moment(self.estimate["created_at"]))

    @property
    def visited(self) -> str:
        """The day of the visit."""
        return day(self._moment(self.visit["visited_at"]))

    @property
    def valid_until(self) -> str:
        """The moment the link, and the offer in it, ends."""
        return moment(self._moment(self.source["share"]["expires_at"]))

    @property
    def valid_until_day(self) -> str:
        """The day of that moment."""
        return day(self._moment(self.source["share"]["expires_at"]))

    @property
    def decided(self) -> str:
        """The moment of the decision."""
        return moment(self._moment(self.decision["decided_at"])) if self.decision else ""

    def _priced(self, option: str) -> list[Priced]:
        """Price the lines of the job with one option, the markup folded in where it is not shown."""
        lines = [line for line in self.source["lines"] if line["option"] in {"", option}]
        amounts = [None if line["amount"] is None else Decimal(line["amount"]) for line in lines]
        rate = Decimal(self.estimate.get("markup_rate", 0))
        if self.display.markup == "line" or not rate:
            prices = [None if line["unit_price"] is None else Decimal(line["unit_price"]) for line in lines]
            return list(map(Priced, lines, prices, amounts))
        folded = fold(amounts, to_cents(_sum(amounts) * rate))
        return [
            Priced(line, None if amount is None else unit_price(amount, Decimal(line["quantity"])), amount)
            for line, amount in zip(lines, folded, strict=True)
        ]

    def _group(self, name: str, lines: Iterable[Priced]) -> Group:
        listed = tuple(lines)
        amounts = [priced.amount for priced in listed if priced.amount is not None]
        return Group(
            name=name,
            lines=tuple(self._line(priced) for priced in listed),
            subtotal=self._money(_sum(amounts)) if amounts and self.display.line_prices else "",
        )

    def _alternative(self, option: str) -> Group:
        """Return the option's own lines, and the subtotal of the whole job with it."""
        job = self._priced(option)
        own = tuple(self._line(priced) for priced in job if priced.line["option"] == option)
        return Group(option, own, self._money(_sum(priced.amount for priced in job)))

    def _line(self, priced: Priced) -> Line:
        line, display = priced.line, self.display
        quantity = Decimal(line["quantity"])
        cited = set(line["photos"])
        return Line(
            description=line["description"],
            quantity=f"{plain(quantity)} {unit_name(line['unit'], quantity)}" if display.quantities else "",
            unit_price=self._price(priced.unit_price) if display.unit_prices else "",
            amount=self._price(priced.amount) if display.line_prices else "",
            is_open=priced.amount is None,
            photos=tuple(photo for photo in self.photos if photo.id in cited),
        )

    def _price(self, value: Decimal | None) -> str:
        return "" if value is None else self._money(value)

    def _money(self, value: str | Decimal) -> str:
        return money(Decimal(value), self.source["estimate"]["currency"])

    def _moment(self, text: str) -> datetime:
        return datetime.fromisoformat(text).astimezone(zone(self.business.get("timezone")))


def money(value: Decimal, currency: str) -> str:
    """Write an amount: `$1,234.50`, `CHF 1,234.50`; a unit price may have more decimals."""
    exponent = value.as_tuple().exponent
    decimals = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"{_SYMBOLS.get(currency, currency + chr(0xA0))}{value:,.{decimals}f}"


def _sum(amounts: Iterable[Decimal | None]) -> Decimal:
    """Add up those that there are."""
    return sum((amount for amount in amounts if amount is not None), start=Decimal(0))


def plain(value: Decimal) -> str:
    """Write a quantity without trailing zeros: `2.5`, `1,200`."""
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def unit_name(unit: str, quantity: Decimal) -> str:
    """Name the unit as it is said: one hour, two hours."""
    if quantity == 1:
        return _SINGULAR.get(unit, unit)
    return next((many for many, one in _SINGULAR.items() if one == unit), unit)


def trade_name(category: str) -> str:
    """Name a group of lines; lines without a trade are `General`."""
    return "General" if category.strip().lower() in _NO_TRADE else category.strip()[:1].upper() + category.strip()[1:]


def zone(name: str | None) -> tzinfo:
    """Return the contractor's time zone, UTC when none or an unknown one is set."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a region, such as `America`, is a directory
        return UTC


def day(when: datetime) -> str:
    """`1 November 2026`."""
    return f"{when.day} {when:%B %Y}"


def moment(when: datetime) -> str:
    """`1 November 2026, 14:05 UTC`."""
    return f"{day(when)}, {when:%H:%M} {when.tzname()}"

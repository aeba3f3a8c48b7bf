"""Authored visits: what was typed or said, and the lines a contractor would have written of it.

Two forms: our own, one TOML file a trade against the demo price book; and JSON files beside their `pricebook.csv`.
"""

import csv
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from jobs.kinds.estimate.book.book import Book, Item

_HERE = Path(__file__).parent
_DEMO_BOOK = _HERE.parents[1] / "devstack" / "demo_data" / "price_book.csv"


@dataclass(frozen=True)
class Prices:
    """A price book with the codes of its items."""

    book: Book
    prices: Mapping[UUID, Decimal]
    codes: Mapping[UUID, str]

    def of_code(self, code: str) -> Decimal:
        """Return the price of an item; 0 for a code the book does not have."""
        return next((self.prices[item] for item, known in self.codes.items() if known == code), Decimal(0))


@dataclass(frozen=True)
class Wanted:
    """A line that is right with any of these quantities, units and items; no codes is unpriced, or `price` as said.

    `may_miss`: an option, "if needed" or free of charge; it may as well be told in the coverage, or have no price.
    """

    names: tuple[str, ...]
    quantities: tuple[Decimal, ...]
    units: tuple[str, ...]
    codes: tuple[str, ...]
    price: Decimal | None = None
    source: str = "notes"
    may_miss: bool = False


@dataclass(frozen=True)
class Visit:
    """One authored visit; `audio` is its recording where there is one."""

    name: str
    trade: str
    notes: str
    speech: str
    labels: tuple[str, ...]
    wanted: tuple[Wanted, ...]
    audio: Path | None = None
    wording: str = ""
    no_line: tuple[tuple[str, str], ...] = ()

    @property
    def mode(self) -> str:
        """`typed`, `spoken`, `spoken, other words` or `both`."""
        spoken = f"spoken, {self.wording}" if self.wording else "spoken"
        return "both" if self.notes and self.speech else spoken if self.speech else "typed"


@dataclass(frozen=True)
class VisitSet:
    """Visits that share a price book."""

    name: str
    visits: tuple[Visit, ...]
    prices: Prices


def demo_visits() -> VisitSet:
    """Read the visits that the rules were first written for."""
    files = {
        path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted((_HERE / "visits").glob("*.toml"))
    }
    visits = tuple(_of_toml(trade, visit) for trade, content in files.items() for visit in content["visit"])
    return VisitSet("demo book (tuned)", visits, read_prices(_DEMO_BOOK))


def visits_in(folder: Path, name: str, *more_books: Path) -> VisitSet:
    """Read a folder of visits (`*.json`), `pricebook.csv` and `audio/`; `more_books` belong to the same price book."""
    content = [visit for path in sorted(folder.glob("*.json")) for visit in json.loads(path.read_text("utf-8"))]
    visits = tuple(_of_json(visit, folder) for visit in content)
    books = [path for path in (folder / "pricebook.csv", *more_books) if path.exists()]
    return VisitSet(name, visits, read_prices(*books))


def read_prices(*paths: Path) -> Prices:
    """Read the files of a price book; an item that stands in several of them is one."""
    read = [row for path in paths for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())]
    rows = [(uuid4(), row) for row in {(row["code"], row["description"]): row for row in read}.values()]
    book = Book([Item(key, row["description"], row["unit"], row["category"]) for key, row in rows])
    return Prices(book, {key: Decimal(row["unit_price"]) for key, row in rows}, {key: row["code"] for key, row in rows})


def _of_toml(trade: str, visit: Mapping[str, Any]) -> Visit:
    return Visit(
        name=visit["name"],
        trade=trade,
        notes=visit.get("notes", "").strip(),
        speech=" ".join(visit.get("speech", "").split()),
        labels=tuple(visit.get("labels", ())),
        wanted=tuple(
            Wanted(
                names=tuple(line["thing"].split("|")),
                quantities=(Decimal(str(line.get("quantity", 1))),),
                units=(line.get("unit", "each"),),
                codes=(line["item"],) if line.get("item") else (),
                source=line["from"],
            )
            for line in visit["lines"]
        ),
    )


def _of_json(visit: Mapping[str, Any], folder: Path) -> Visit:
    spoken = visit["mode"] == "spoken"
    audio = folder / "audio" / f"{visit['id']}.webm"
    return Visit(
        name=visit["id"],
        trade=visit["trade"],
        notes="" if spoken else visit["text"],
        speech=visit["text"] if spoken else "",
        labels=(),
        wanted=tuple(
            Wanted(
                names=tuple(line["kw"]),
                quantities=tuple(Decimal(str(quantity)) for quantity in line["qty"]),
                units=tuple(line["units"]),
                codes=tuple(line["code"]),
                price=Decimal(str(line["price"])) if "price" in line else None,
                source="speech" if spoken else "notes",
                may_miss=line.get("may_miss", False),
            )
            for line in visit["lines"]
        ),
        audio=audio if spoken and audio.exists() else None,
        wording="other words" if visit["id"].endswith("2") and "wording" in visit else "",
        no_line=tuple((clause["text"], clause["kind"]) for clause in visit.get("no_line", ()) if "text" in clause),
    )

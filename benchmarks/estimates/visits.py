"""The golden visits: what was typed, said and labelled, and the lines that should come of it; one file a trade."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

HALVES = ("development", "held-out")
SOURCES = ("notes", "labels", "speech")
_FOLDER = Path(__file__).parent / "visits"


@dataclass(frozen=True)
class Wanted:
    """A line that was asked for. `things` are ways to name it; quantity None was not stated; no `item` is unpriced."""

    source: str
    things: tuple[str, ...]
    quantity: Decimal | None
    unit: str
    item: str


@dataclass(frozen=True)
class Golden:
    """One authored visit."""

    trade: str
    name: str
    half: str
    notes: str
    speech: str
    labels: tuple[str, ...]
    wanted: tuple[Wanted, ...]
    terms: frozenset[str]


def load() -> list[Golden]:
    """Read every visit of every trade."""
    trades = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(_FOLDER.glob("*.toml"))}
    return [
        _golden(trade, visit, frozenset(content["terms"].split()))
        for trade, content in trades.items()
        for visit in content["visit"]
    ]


def _golden(trade: str, visit: Mapping[str, Any], terms: frozenset[str]) -> Golden:
    golden = Golden(
        trade=trade,
        name=visit["name"],
        half=visit["half"],
        notes=visit.get("notes", "").strip(),
        speech=" ".join(visit.get("speech", "").split()),
        labels=tuple(visit.get("labels", ())),
        wanted=tuple(_wanted(line) for line in visit["lines"]),
        terms=terms,
    )
    assert golden.half in HALVES, f"{golden.name}: no such half"
    assert all(line.source in SOURCES for line in golden.wanted), f"{golden.name}: no such source"
    return golden


def _wanted(line: Mapping[str, Any]) -> Wanted:
    stated = "quantity" in line
    return Wanted(
        source=line["from"],
        things=tuple(line["thing"].split("|")),
        quantity=Decimal(str(line["quantity"])) if stated else None,
        unit=line["unit"] if stated else "each",
        item=line.get("item", ""),
    )

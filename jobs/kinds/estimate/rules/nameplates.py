"""A name plate's facts on its thing: model, serial number, volts. It backs lines and never makes one.

Print on a photo is the maker's, or anybody's: only these facts are taken out of it, and nothing in it is a request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from jobs.kinds.estimate.model import Evidence
from jobs.kinds.estimate.rules.categories import trade_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from uuid import UUID

    from jobs.kinds.estimate.model import DraftLine, Print

_AMOUNT = r"\d{1,5}(?:\.\d{1,2})?(?:/\d{1,5})?"
_UNITS = {
    "V": "VOLTS|VOLT|VOLTAGE|VAC|V",
    "A": "AMPS|AMP|AMPERES|A",
    "W": "WATTS|WATT|WATTAGE|W",
    "gal": "GALLONS|GALLON|GALS|GAL",
    "BTU/h": "BTU/HR|BTU/H|BTUH|BTU",
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words.split("|")}
_WORDS = [word for word in _UNIT_OF if len(word) > 1]
_LETTERS = "".join(word for word in _UNIT_OF if len(word) == 1)
_UNIT = rf"(?<![A-Z])(?:(?:{'|'.join(_WORDS)})(?![A-Z])|[{_LETTERS}](?![A-Z0-9]))"
# A number in the middle of a code is no amount; behind the word of a unit it is one, as print is read without spaces.
_FREE = "|".join(("(?<![A-Z0-9./-])", *(rf"(?<={word})" for word in _WORDS)))
_MEASURE = re.compile(rf"(?P<amount>(?:{_FREE}){_AMOUNT})|(?P<unit>{_UNIT})", re.IGNORECASE)
_CODE = r"(?=[A-Z0-9/.-]*\d)([A-Z0-9][A-Z0-9/.-]{2,30})"
_NUMBERED = {
    name: re.compile(rf"\b(?:{words})\s*(?:N[O0]\.?|NUMBER|#)?\s*[:.]?\s*{_CODE}", re.IGNORECASE)
    for name, words in (("model", r"MODEL|MOD\.|M/N|MDL\.?"), ("serial", r"SERIAL|SER\.|S/N"))
}
# A plate names its thing in a few words; a sentence of warnings names other things, too.
_WORDS_OF_A_NAME = 5


@dataclass(frozen=True, slots=True)
class Plate:
    """The print of one photo; `name` is how the contractor knows the photo."""

    media_id: UUID
    name: str
    label: str
    prints: Sequence[Print]

    def facts(self) -> dict[str, Print]:
        """Return each fact ("model XE50", "240 V") with the row that states it, the first of its kind."""
        found: dict[str, tuple[str, Print]] = {}
        for row in self.prints:
            for kind, fact in (*_numbers(row.text), *_measures(row.text)):
                found.setdefault(kind, (fact, row))
        return dict(found[kind] for kind in (*_NUMBERED, *_UNITS) if kind in found)

    def told(self) -> str:
        """Tell the facts in a row."""
        return f"{self.name}'s name plate says {', '.join(self.facts())}"

    def is_on(self, line: DraftLine) -> bool:
        """Whether the thing of a line is the one that the label names, or, where it names none, the plate itself."""
        printed = " ".join(row.text for row in self.prints if _is_a_name(row.text))
        return bool(trade_words(line.description) & (trade_words(self.label) or trade_words(printed)))


def backed(lines: Iterable[DraftLine], plates: Sequence[Plate]) -> tuple[DraftLine, ...]:
    """Return the same lines, those on a thing with a plate with its facts and where they stand."""
    telling = [plate for plate in plates if plate.facts()]
    return tuple(_backed(line, [plate for plate in telling if plate.is_on(line)]) for line in lines)


def untied(lines: Sequence[DraftLine], plates: Iterable[Plate]) -> list[Plate]:
    """Return the plates with facts about something that no line is about."""
    return [plate for plate in plates if plate.facts() and not any(plate.is_on(line) for line in lines)]


def _numbers(row: str) -> Iterator[tuple[str, str]]:
    """Find "MODEL NO. XE50T10": a code with a digit in it behind its word."""
    for kind, pattern in _NUMBERED.items():
        if match := pattern.search(row):
            yield kind, f"{kind} {match[1]}"


def _measures(row: str) -> Iterator[tuple[str, str]]:
    """Find "VOLTS 240 AMPS 18" where a row has its words first, and "240 V 18 A" where its numbers."""
    parts = [(str(match.lastgroup), match[0].upper()) for match in _MEASURE.finditer(row)]
    for (kind, first), (next_kind, second) in pairwise(parts):
        if kind == next_kind or kind != parts[0][0]:
            continue
        unit, amount = (first, second) if kind == "unit" else (second, first)
        if kind == "amount" or len(unit) > 1:  # a lone letter before a number may be anything
            yield _UNIT_OF[unit], f"{amount} {_UNIT_OF[unit]}"


def _backed(line: DraftLine, plates: Sequence[Plate]) -> DraftLine:
    evidence = tuple(_evidence(plate, row) for plate in plates for row in dict.fromkeys(plate.facts().values()))
    told = tuple(plate.told() for plate in plates)
    return line.model_copy(update={"evidence": line.evidence + evidence, "assumptions": line.assumptions + told})


def _evidence(plate: Plate, row: Print) -> Evidence:
    return Evidence(source="photo", media_id=plate.media_id, quote=row.text, region=row.region)


def _is_a_name(text: str) -> bool:
    return len(text.split()) <= _WORDS_OF_A_NAME

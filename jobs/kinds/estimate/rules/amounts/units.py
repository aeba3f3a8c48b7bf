"""The words that stand beside numbers: units that measure, words that make a size of a number, labels, fees."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from jobs.kinds.estimate.rules.words import PREPOSITIONS
from store.estimates.units import CANONICAL, SQUARE_FEET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.rules.tokens import Token


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Their unit is as often the thing's size, where a noun follows: "50 gallon heater", "6 ft fence", "3 ton condenser".
SOFT = _words("ft yd gal ton lb bag day hour m square room week month")
# A number behind these names one of several: "room 204", "type 2".
LABELS = _words(
    """r cat category merv sch seer awg nema number no room bedroom bath unit apt apartment suite level type
    phase option building bldg rm schedule grade series model
    lot floor zone class bay station sta page ph route rte hwy highway rev revision div division item ticket
    stair elevator dock pod"""
)
# A number behind these, at the end of what is said, is a time: "access before 9".
BEFORE_A_TIME = _words("before after until till")
FEES = _words("permit permits fee fees charge allowance deposit surcharge minimum trip")
MEASURES = _words("ft lf yd square hour day gal lb ton m m2 week month") | {SQUARE_FEET, "sq yd", "cu yd", "cu ft"}
LENGTHS = _words("ft lf")
TIMES = _words("day week month")
DOLLARS = {
    "dollars": Decimal(1),
    "dollar": Decimal(1),
    "bucks": Decimal(1),
    "buck": Decimal(1),
    "grand": Decimal(1000),
    "cents": Decimal("0.01"),
}
# A bare number behind these is money for the whole job: "I charge sixty", "lump 875", "allow 400 for a mirror".
ASKS_MONEY = _words("charge charging lump flat costs cost bid quoted priced allow allowance")
# Bare dimensions are an area of these, and a size of anything else.
AREA_THINGS = _words(
    """deck patio floor flooring wall ceiling clg room bedroom bathroom kitchen roof driveway slab lawn yard area carpet
    tile subfloor porch landing walkway sidewalk sod turf bed backsplash drywall siding hardwood laminate vinyl linoleum
    concrete pad apron parking lot stucco plaster lvp pavers paver addition shed pergola insulation asphalt"""
)
# Their capacity is a size, wherever it stands.
HAVE_A_CAPACITY = _words(
    "dumpster rolloff container heater tank condenser furnace boiler softener compressor truck pump"
)
_NOT_UNITS = _words("set job lot count item square unit units piece pieces ls")
_NO_NOUN = PREPOSITIONS | _words("and or of total each approx ea long but then")
_LONGEST_UNIT = 3


def read_unit(tokens: Sequence[Token], i: int) -> tuple[str | None, int]:
    """Read the longest unit at `i`; gives its canonical name and the index after it, None and `i` for no unit."""
    for length in range(_LONGEST_UNIT, 0, -1):
        spelling = " ".join(token.text for token in tokens[i : i + length] if token.text != ".")
        if i + length <= len(tokens) and spelling in CANONICAL and spelling not in _NOT_UNITS:
            end = i + length
            return CANONICAL[spelling], end + (text_at(tokens, end) == "." and length == 1)
    if text_at(tokens, i) in {"square", "set", "sets"} and text_at(tokens, i + 1) in {"of", "", ",", "and"}:
        return CANONICAL[text_at(tokens, i)], i + 1
    return None, i


def noun_follows(tokens: Sequence[Token], i: int) -> bool:
    """Whether a word that a size may belong to stands at `i`."""
    return i < len(tokens) and tokens[i].kind == "word" and tokens[i].text not in _NO_NOUN


def text_at(tokens: Sequence[Token], i: int) -> str:
    """Return the token at `i`, "" outside."""
    return tokens[i].text if 0 <= i < len(tokens) else ""

"""Reads the numbers of a clause: each with its unit, as dimensions, as money or as a size."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.sizes import DESCRIBING, scaled, size_of_measure
from jobs.kinds.estimate.book.stems import singular
from jobs.kinds.estimate.rules.amounts.amounts import Amount, Grip, Kind, plain
from jobs.kinds.estimate.rules.amounts.numbers import Number, read_number
from jobs.kinds.estimate.rules.amounts.units import (
    ASKS_MONEY,
    BEFORE_A_TIME,
    DOLLARS,
    FEES,
    LABELS,
    SOFT,
    noun_follows,
    read_unit,
    text_at,
)
from jobs.kinds.estimate.rules.words import APPROXIMATE, ROOMS
from store.estimates.units import EACH, SQUARE_FEET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.kinds.estimate.book.sizes import Size
    from jobs.kinds.estimate.rules.tokens import Token

_ONE = Decimal(1)
_THOUSANDTH = Decimal("0.001")
_LARGEST_AREA = Decimal(1_000_000)
_TWO_SIDES = 2
_INCHES_A_FOOT = 12
_INCHES = frozenset({"in", "inch", "inches", '"'})
# A bare number this large is a door's 6068 or a model; nobody counts a thousand of anything without a unit.
_DOOR = Decimal(1000)
_CENTS = Decimal(100)
_MORE = frozenset({"more", "additional", "extra", "total"})
_AT = frozenset({"@", "at"})
_A_FEE = Decimal(20)  # "permit 350" is money, "permits 2" is not
_ONE_IS_A_PRONOUN = frozenset(
    ["new", "old", "the", "this", "that", "another", "each", "same", "existing", "last", "no", "which", "only", "other"]
)
_DOOR_LETTERS = frozenset("bcdegh")
_FOR_EACH = frozenset({"each", "per", "every"})
_UNITS_OF_A_HOUSE = ROOMS | {"units", "floors", "apartments", "buildings"}


def read_amounts(tokens: Sequence[Token]) -> list[Amount]:
    """Return every amount of a clause in its order."""
    return list(_read(tuple(tokens)))


@lru_cache(maxsize=4096)
def _read(tokens: tuple[Token, ...]) -> list[Amount]:
    found: list[Amount] = []
    i = 0
    while i < len(tokens):
        amount = _amount(tokens, i)
        if amount is None:
            i += 1
            continue
        found.append(
            replace(
                amount, at=tokens[amount.start].start, until=tokens[amount.end - 1].end, last=_ends(tokens, amount.end)
            )
        )
        i = max(amount.end, i + 1)
    return _multiplied(tokens, found)


def _amount(tokens: Sequence[Token], i: int) -> Amount | None:
    if tokens[i].kind == "money":
        grip: Grip = "marked" if text_at(tokens, i - 1) in _AT else "loose"
        return Amount("money", tokens[i].value or Decimal(0), _per(tokens, i + 1), i, _after_per(tokens, i + 1), grip)
    start, marked, approximate = _lead(tokens, i)
    found = _both(tokens, start) or _dimensions(tokens, start) or _counted(tokens, start)
    if found is None:
        return None
    found = replace(found, start=i)
    if marked and found.kind == "count":
        found = replace(found, grip="marked")
    if marked == "@" and found.kind != "money":
        money = found.unit is None and found.kind != "label"
        found = replace(found, kind="money", grip="marked") if money else replace(found, kind="size")
    elif _asks_money(tokens, i, found):
        found = replace(found, kind="money", grip="marked" if text_at(tokens, i - 1) == "at" else "loose")
    found = _closed(tokens, found, marked)
    said = approximate or _hedged(tokens, found.end)
    if said and found.stated:
        found = replace(found, doubts=(*found.doubts, f"quantity was said as approximate (“{said}”)"))
    return found


def _asks_money(tokens: Sequence[Token], i: int, found: Amount) -> bool:
    """Whether a bare number is a price by the words around it: "permit 350", "five at thirty", "two fifty flat"."""
    if found.kind not in {"count", "size"} or found.unit is not None or found.grip == "marked":
        return False
    if any(unit for _, unit in found.sizes) or found.value >= _DOOR * 100:
        return False
    if text_at(tokens, found.end) == "flat" or text_at(tokens, i - 1) in ASKS_MONEY - {"allow", "allowance"}:
        return True
    if text_at(tokens, i - 1) in {"allow", "allowance"}:
        return found.value >= _A_FEE
    ends = _ends(tokens, found.end) or text_at(tokens, found.end) in {"each", "ea", "apiece", "a", "per"}
    if text_at(tokens, i - 1) == "at" and ends:
        return any(read_number(tokens, j) for j in range(i - 1))
    fee = text_at(tokens, i - 1).removesuffix("'s")
    fee = text_at(tokens, i - 2) if fee in {"is", "was", "runs"} else fee  # "the permit's four fifty"
    return fee in FEES and found.value >= _A_FEE and found.kind == "count"


def _ends(tokens: Sequence[Token], i: int) -> bool:
    return all(token.kind in {"mark", "stop"} for token in tokens[i:])


def _lead(tokens: Sequence[Token], i: int) -> tuple[int, str, str]:
    """Read the words before a number: "qty", "x", "(", "@", "about"; gives the number's place, the mark, the hedge."""
    marked = approximate = ""
    j = i
    while j < len(tokens) and j < i + 4:
        text = tokens[j].text
        if text in APPROXIMATE:
            approximate = text
        elif text in {"qty", "quantity", "(", "@"} or tokens[j].kind == "by" or text == "x":
            marked = text if tokens[j].kind != "by" else "x"
        elif not (marked and text in {":", ".", "of", "#", "="}):
            break
        j += 1
    return j, marked, approximate


def _hedged(tokens: Sequence[Token], i: int) -> str:
    if text_at(tokens, i) == "or" and text_at(tokens, i + 1) == "so":
        return "or so"
    if text_at(tokens, i) in {"approx", "ish", "+/-", "?", "roughly", "maybe"}:
        return text_at(tokens, i)
    return "give or take" if text_at(tokens, i) == "give" and text_at(tokens, i + 1) == "or" else ""


def _both(tokens: Sequence[Token], i: int) -> Amount | None:
    """Read "both" as two."""
    if text_at(tokens, i) != "both":
        return None
    end = i + 1 + (text_at(tokens, i + 1) in {"of", "the", "these", "those"})
    return Amount("count", Decimal(2), None, i, end)


def _counted(tokens: Sequence[Token], i: int) -> Amount | None:
    if text_at(tokens, i) in {"a", "an"} and text_at(tokens, i + 2) == "of" and (unit := read_unit(tokens, i + 1)[0]):
        return Amount("measure", _ONE, unit, i, i + 3, "firm", unit_at=i + 1)
    number = None if text_at(tokens, i) == "one" and _is_pronoun(tokens, i) else _number(tokens, i)
    if text_at(tokens, i) == "a" and text_at(tokens, i + 1) in {"dollar", "buck", "grand"}:
        number = _ONE, i + 1
    if i < len(tokens) and tokens[i].kind == "length":
        value = (tokens[i].value or _ONE).quantize(_THOUSANDTH).normalize()
        return Amount("measure", value, "ft", i, i + 1, "loose", frozenset({(tokens[i].value or _ONE, "ft")}))
    if number is None:
        return None
    value, end = number
    by_ear = tokens[i].kind == "number" and tokens[i].text.isalpha()
    if (named := _gauge(tokens, i, end) or _model(tokens, i, end) or _door_or_time(tokens, i, end)) is not None:
        return Amount("label", value, None, i, named)
    doubts: tuple[str, ...] = (f"“{tokens[i].text}” was taken for the number {plain(value)}",) if by_ear else ()
    high = _range(tokens, end, value)
    if high is not None:
        doubts = (
            *doubts,
            f"a range was said ({plain(value)} to {plain(high[0])})",
        )
        value, end = high
    bare = frozenset({(value, "")})
    if (
        text_at(tokens, i - 1) in LABELS  # "baths 2" counts them
        and tokens[i - 1].kind == "word"
        and read_unit(tokens, end)[0] is None
    ):
        numbered = text_at(tokens, i - 1) in {"number", "no"}
        return Amount("size" if numbered else "label", value, None, i, end, sizes=frozenset({(value, "no")}))
    return replace(_with_unit(tokens, i, value, end, bare), doubts=doubts)


def _gauge(tokens: Sequence[Token], i: int, end: int) -> int | None:
    """Read a smaller number glued on by a hyphen: "12-2 cable" counts nothing. Gives the index after it."""
    glued = text_at(tokens, end) == "-" and end + 1 < len(tokens) and tokens[end + 1].start == tokens[end].end
    low = tokens[end + 1].value if glued else None
    high = tokens[i].value
    counts = low is None or high is None or tokens[end].start != tokens[end - 1].end or low > high
    return None if counts else end + 2


def _model(tokens: Sequence[Token], i: int, end: int) -> int | None:
    """Read a letter that is no unit glued to the digits: "454b" names a refrigerant. Gives the index after it."""
    if tokens[i].kind != "number" or end >= len(tokens) or tokens[end].start != tokens[end - 1].end:
        return None
    word = tokens[end].text
    unit = word in DESCRIBING.keys() | {"x"} or read_unit(tokens, end)[0] is not None
    return None if unit or len(word) > 1 or not word.isalpha() else end + 1


def _door_or_time(tokens: Sequence[Token], i: int, end: int) -> int | None:
    """Read "317 B" as a door's number and "before 9" as a time. Gives the index after it."""
    if tokens[i].kind != "number":
        return None
    if text_at(tokens, i - 1) in BEFORE_A_TIME and _ends(tokens, end):
        return end
    return end + 1 if text_at(tokens, end) in _DOOR_LETTERS and not _is_by(tokens, end + 1) else None


def _number(tokens: Sequence[Token], i: int) -> tuple[Decimal, int] | None:
    number = read_number(tokens, i, joined=True)
    if number is None:
        return None
    volts = text_at(tokens, number.end) in {"v", "volt", "volts"}
    if not volts and (text_at(tokens, number.end) in DESCRIBING or _is_soft_size(tokens, number.end)):
        number = read_number(tokens, i) or number  # "two twenty amp breakers"
    lone_part = tokens[i].kind == "word" and number.end == i + 1 and 0 < number.value < 1
    if lone_part and text_at(tokens, number.end) not in DESCRIBING and not read_unit(tokens, number.end)[0] is not None:
        return None  # "half bath", "quarter round"
    return number.value, number.end


def _with_unit(tokens: Sequence[Token], i: int, value: Decimal, end: int, bare: frozenset[Size]) -> Amount:
    """Read the thing a number counts, measures or describes from the words behind it, also behind a hyphen."""
    hyphen = text_at(tokens, end) == "-" and end + 1 < len(tokens) and tokens[end + 1].start == tokens[end].end
    at = end + 1 if hyphen else end
    if text_at(tokens, at) in _MORE and read_unit(tokens, at + 1)[0] is not None:
        at += 1  # "fifty more feet"
    if text_at(tokens, at) in DOLLARS:
        value, at = _with_cents(tokens, value * DOLLARS[text_at(tokens, at)], at + 1)
        grip: Grip = "marked" if text_at(tokens, i - 1) in _AT else "loose"
        return Amount("money", value, _per(tokens, at), i, _after_per(tokens, at), grip)
    if (size := _as_size(tokens, i, value, at, hyphen=hyphen)) is not None:
        return size
    unit, after = read_unit(tokens, at)
    inches = read_number(tokens, after) if unit == "ft" and not hyphen else None
    if inches is not None and _are_inches(tokens, inches):
        value, after = value + inches.value / 12, inches.end + (text_at(tokens, inches.end) in _INCHES)
        return Amount("measure", value.quantize(_THOUSANDTH), "ft", i, after, "loose", frozenset({(value, "ft")}))
    if unit is None:
        described = hyphen and read_number(tokens, at) is None and tokens[at].kind == "word"
        fraction = "/" in tokens[i].text or value % _ONE != 0
        kind: Kind = "size" if described or fraction or (value >= _DOOR and "," not in tokens[i].text) else "count"
        return Amount(kind, value, None, i, end, sizes=bare)
    number = Amount("count", value, None, i, end, sizes=bare)
    return _measured(tokens, number, (at, after), unit, hyphen=hyphen)


def _with_cents(tokens: Sequence[Token], value: Decimal, i: int) -> tuple[Decimal, int]:
    """Read the cents of "a dollar ten" and "four dollars and fifty cents"; gives the index after them."""
    j = i + (text_at(tokens, i) == "and")
    cents = read_number(tokens, j)
    said = cents is not None and text_at(tokens, cents.end) in {"cents", "cent"}
    bare = cents is not None and j == i and tokens[i].kind == "word" and not noun_follows(tokens, cents.end)
    if (
        cents is None
        or not 0 < cents.value < _CENTS
        or not (said or bare or text_at(tokens, cents.end) in {"a", "per"})
    ):
        return value, i
    return value + cents.value / _CENTS, cents.end + said


def _are_inches(tokens: Sequence[Token], number: Number) -> bool:
    """Whether a number behind feet is their inches: "three foot six", "8 ft 2 in"."""
    following = text_at(tokens, number.end)
    spoken = tokens[number.end - 1].kind == "word" and not noun_follows(tokens, number.end)
    return 0 < number.value < _INCHES_A_FOOT and (
        following in _INCHES - {"in"} or (spoken and following not in {"by", "x"})
    )


def _as_size(tokens: Sequence[Token], i: int, value: Decimal, at: int, *, hyphen: bool) -> Amount | None:
    """Read "20 amp", "3-way", "36in", "400,000 B T U"; None for anything but a size."""
    word = text_at(tokens, at)
    if [token.text for token in tokens[at : at + 3]] == ["b", "t", "u"]:
        return Amount("size", value, None, i, at + 3, sizes=frozenset({(value, "btu")}))
    place = word in {"in", "a"} and _in_a_place(tokens, at, hyphen=hyphen)
    if word not in DESCRIBING or place or _counts_lights(tokens, at):
        return None
    size = scaled(value, DESCRIBING[word])
    return Amount("size", size[0], None, i, at + 1, sizes=frozenset({size}))


def _measured(tokens: Sequence[Token], number: Amount, at: tuple[int, int], unit: str, *, hyphen: bool) -> Amount:
    """Make an amount of a number with its unit, which stands between the two indexes of `at`."""
    i, value, bare = number.start, number.value, number.sizes
    rounded = value.quantize(_THOUSANDTH).normalize() if value % _ONE else value
    if unit == EACH:
        return Amount("count", rounded, None, i, at[1], "marked", bare)
    sizes = frozenset({(value, size_of_measure(unit))})
    of = text_at(tokens, at[1]) == "of"
    soft = unit in SOFT and not of and (hyphen or noun_follows(tokens, at[1]))
    if hyphen and soft:
        return Amount("size", value, None, i, at[1], sizes=sizes)
    return Amount("measure", rounded, unit, i, at[1] + of, "soft" if soft else "firm", sizes, unit_at=at[0])


def _is_soft_size(tokens: Sequence[Token], i: int) -> bool:
    unit, end = read_unit(tokens, i)
    return unit in {"gal", "ton"} and noun_follows(tokens, end)


def _range(tokens: Sequence[Token], i: int, low: Decimal) -> tuple[Decimal, int] | None:
    """Read "or four", "to four", "-4" after a number."""
    if text_at(tokens, i) not in {"or", "to", "-"}:
        return None
    if text_at(tokens, i) == "-" and i + 1 < len(tokens) and tokens[i + 1].start > tokens[i].end:
        return None
    high = read_number(tokens, i + 1)
    return (high.value, high.end) if high and high.value > low else None


def _closed(tokens: Sequence[Token], found: Amount, marked: str) -> Amount:
    """Take the mark behind a number along: ")", "x", "ea", "each"; they make a count of it."""
    end = found.end
    if marked == "(":
        if text_at(tokens, end) == ")":
            return replace(found, end=end + 1)
        if found.kind == "count" and found.grip == "marked" and ")" in {token.text for token in tokens[end:]}:
            found = replace(found, grip="loose")  # "(2 from the old job)" tells of something else
    if found.kind == "count":
        if text_at(tokens, end) in {"ea", "each", "pcs", "pc"}:
            end += 1
            return replace(found, end=end + (text_at(tokens, end) == "."), grip="marked")
        if text_at(tokens, end) == "x" and tokens[end].kind == "word":
            return replace(found, end=end + 1, grip="marked")
        before = text_at(tokens, found.start - 1)
        if before in {"-", ":"} and end == len(tokens):
            return replace(found, grip="marked")
    return found


def _dimensions(tokens: Sequence[Token], i: int) -> Amount | None:
    """Read "12 by 14 feet". Inches and three dimensions only describe."""
    first = _side(tokens, i)
    if first is None or not _is_by(tokens, first[2]):
        return None
    second = _side(tokens, first[2] + 1)
    if second is None:
        return None
    end = second[2]
    sides = [first, second]
    glued = tokens[first[2]].start == tokens[first[2] - 1].end
    while _is_by(tokens, end) and (third := _side(tokens, end + 1)) is not None:
        if glued and tokens[end].start > tokens[end - 1].end:
            break  # "34x10 x4" are four of them
        sides.append(third)
        end = third[2]
    sizes = frozenset((value, "x") for value, _, _ in sides)
    units = {unit for _, unit, _ in sides}
    area = first[0] * second[0]
    if len(sides) > _TWO_SIDES or "in" in units or area > _LARGEST_AREA:
        return Amount("size", area, None, i, end, sizes=sizes)
    assumed = units == {None}
    value = area.quantize(_THOUSANDTH).normalize()
    value = value.quantize(_ONE) if value == value.to_integral() else value
    said = f"{plain(first[0])} x {plain(second[0])} ft = {plain(value)} sq ft"
    told = (said, "dimensions taken as feet") if assumed else (said,)
    return Amount("area", value, SQUARE_FEET, i, end, "loose" if assumed else "firm", sizes, told)


def _side(tokens: Sequence[Token], i: int) -> tuple[Decimal, str | None, int] | None:
    if i < len(tokens) and tokens[i].kind == "length":
        return tokens[i].value or _ONE, "ft", i + 1
    number = read_number(tokens, i)
    if number is None:
        return None
    j = number.end + (text_at(tokens, number.end) == "-")
    if text_at(tokens, j) in {"'", "ft", "foot", "feet"}:
        return number.value, "ft", j + 1
    if text_at(tokens, j) in {'"', "in", "inch", "inches"} and not _in_a_place(tokens, j):
        return number.value, "in", j + 1
    return number.value, None, number.end


def _is_by(tokens: Sequence[Token], i: int) -> bool:
    return i < len(tokens) and (tokens[i].kind == "by" or tokens[i].text in {"by", "times"})


def _in_a_place(tokens: Sequence[Token], i: int, *, hyphen: bool = False) -> bool:
    """Tell "three in the kitchen" and "one a week" from "3 in pipe" and "200a panel"."""
    glued = i > 0 and tokens[i].start == tokens[i - 1].end
    if glued or hyphen:
        return False
    following = text_at(tokens, i + 1)
    if text_at(tokens, i) == "a":
        return True
    return (
        text_at(tokens, i) == "in"
        and following in {"the", "a", "each", "every", "my", "our", "his", "her", "both", ""} | ROOMS
    )


def _counts_lights(tokens: Sequence[Token], i: int) -> bool:
    """Tell "five light fixtures" from "a 5 light chandelier"."""
    return text_at(tokens, i) in {"light", "panel", "side", "step", "zone"} and text_at(tokens, i + 1).endswith("s")


def _is_pronoun(tokens: Sequence[Token], i: int) -> bool:
    return text_at(tokens, i - 1) in _ONE_IS_A_PRONOUN or text_at(tokens, i + 1) in {"of", "is", "was", "that"}


def _per(tokens: Sequence[Token], i: int) -> str | None:
    """Read "/sheet", "a foot", "per hour", "each" after money; None for a price of the whole."""
    at = i + 1 if text_at(tokens, i) in {"/", "a", "an", "per"} else i
    if at == i and text_at(tokens, i) not in {"each", "ea", "apiece"}:
        return None
    return EACH if text_at(tokens, at) in {"each", "ea", "apiece"} else read_unit(tokens, at)[0] or text_at(tokens, at)


def _after_per(tokens: Sequence[Token], i: int) -> int:
    if text_at(tokens, i) in {"/", "a", "an", "per"}:
        return min(max(read_unit(tokens, i + 1)[1], i + 2), len(tokens))
    return i + 1 if text_at(tokens, i) in {"each", "ea", "apiece"} else i


def _multiplied(tokens: Sequence[Token], found: list[Amount]) -> list[Amount]:
    """Take "2 in each of the 3 bedrooms" as six, and "one per bedroom, 3 bedrooms" as three."""
    found = _by_sides(tokens, _by_the_day(tokens, _each(tokens, found)))
    counts = [amount for amount in found if amount.kind == "count"]
    for first, second in pairwise(counts):
        if _is_for_each(tokens, first, second):
            total = first.value * second.value
            said = f"{plain(first.value)} x {plain(second.value)} = {plain(total)}"
            made = replace(first, value=total, end=first.end, assumptions=(said,), grip="marked")
            place = replace(second, kind="size", sizes=frozenset())
            return [made if a is first else place if a is second else a for a in found]
    return [_per_unknown(tokens, amount) if amount.kind == "count" else amount for amount in found]


def _is_for_each(tokens: Sequence[Token], first: Amount, second: Amount) -> bool:
    """Whether the second number says how many times the first is wanted."""
    between = [token.text for token in tokens[first.end : second.start]]
    named = next((i for i, text in enumerate(between) if text in _FOR_EACH), None)
    if named is None:
        return False
    rest = [text for text in between[named + 1 :] if text not in {"of", "the", "these", "those"}]
    counted = singular(text_at(tokens, second.end))
    return not rest or counted == singular(rest[0]) or text_at(tokens, second.end) in _UNITS_OF_A_HOUSE


def _per_unknown(tokens: Sequence[Token], amount: Amount) -> Amount:
    """Doubt "two per door", where nobody says how many doors there are."""
    rest = [token.text for token in tokens[amount.end :]]
    named = next((i for i, text in enumerate(rest) if text in _FOR_EACH), None)
    thing = rest[named + 1] if named is not None and named + 1 < len(rest) else ""
    if not thing.isalpha() or thing in {"of", "the", "and"} or read_unit(tokens, amount.end + (named or 0) + 1)[0]:
        return amount
    return replace(amount, doubts=(*amount.doubts, f"said for each {thing}; how many there are was not said"))


def _at_a_length(tokens: Sequence[Token], count: Amount, found: list[Amount]) -> list[Amount]:
    """Take "5 @ 12 ft" as five of that length, and as 60 feet of what is sold by the foot."""
    for size in found:
        feet = next((value for value, unit in size.sizes if unit == "ft"), None)
        if size.kind == "size" and feet is not None and text_at(tokens, size.start) == "@" and count.end <= size.start:
            said = f"{plain(count.value)} x {plain(feet)} ft = {plain(count.value * feet)} ft"
            whole = replace(size, kind="measure", value=count.value * feet, unit="ft", grip="soft", assumptions=(said,))
            return [whole if a is size else a for a in found]
    return found


def _is_per(tokens: Sequence[Token], i: int, thing: str) -> bool:
    return text_at(tokens, i) in {"/", "per"} and bool(thing) and singular(text_at(tokens, i + 1)) == thing


def _by_sides(tokens: Sequence[Token], found: list[Amount]) -> list[Amount]:
    """Take "2 sides x 9 ft" as 18 feet."""
    for first, second in pairwise(found):
        sides = first.kind == "size" and any(unit == "side" for _, unit in first.sizes)
        if sides and second.kind == "measure" and _is_by(tokens, first.end):
            value = first.value * second.value
            said = f"{plain(first.value)} x {plain(second.value)} {second.unit} = {plain(value)}"
            made = replace(second, value=value, grip="firm", sizes=frozenset(), assumptions=(said,))
            return [made if a is second else a for a in found]
    return found


def _by_the_day(tokens: Sequence[Token], found: list[Amount]) -> list[Amount]:
    """Take "3 days x 8 hrs" as 24 hours."""
    for first, second in pairwise(found):
        times = [token.text for token in tokens[first.end : second.start + 1]]
        if first.unit == "day" and second.unit == "hour" and (not times[:-1] or _is_by(tokens, second.start)):
            value = first.value * second.value
            said = f"{plain(first.value)} days x {plain(second.value)} hours = {plain(value)} hours"
            made = replace(second, value=value, start=first.start, at=first.at, grip="firm", assumptions=(said,))
            return [made if a is second else a for a in found if a is not first]
    return found


def _each(tokens: Sequence[Token], found: list[Amount]) -> list[Amount]:
    """Take "two downspouts, 10 feet each" as 20 feet, and "34 ft per door x 6" as 204."""
    counts = [amount for amount in found if amount.kind == "count"]
    measures = [a for a in found if a.kind == "measure" and text_at(tokens, a.end) in {"each", "ea", "apiece"}]
    per = [a for a in found if a.kind == "measure" and text_at(tokens, a.end) == "per"]
    marked = [amount for amount in counts if amount.grip == "marked"]
    if len(per) == len(marked) == 1 and per[0].start < marked[0].start:
        counts, measures = marked, per
    elif len(counts) == 1 and not measures:  # "2 pallets, 450 sf/pallet"
        thing = singular(text_at(tokens, counts[0].end))
        measures = [a for a in found if a.kind == "measure" and _is_per(tokens, a.end, thing)]
        if not measures:
            return _at_a_length(tokens, counts[0], found)
    if len(counts) != 1 or len(measures) != 1 or (counts[0].start > measures[0].start and measures is not per):
        return found
    (count,), (measure,) = counts, measures
    value = count.value * measure.value
    said = f"{plain(count.value)} x {plain(measure.value)} {measure.unit} = {plain(value)}"
    end = max(measure.end + 1, count.end)
    made = replace(measure, value=value, end=end, grip="firm", assumptions=(said,))
    inside = count if count.start > measure.start else None
    return [made if a is measure else a for a in found if a is not inside]

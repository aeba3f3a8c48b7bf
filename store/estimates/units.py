"""The units things are counted and priced in: their spellings, and which may share a price."""

EACH = "each"
SQUARE_FEET = "sq ft"
COAT = "coat"

_SPELLINGS: dict[str, tuple[str, ...]] = {
    EACH: ("each", "ea", "ea.", "pc", "pcs", "piece", "pieces", "unit", "units", "count", "item"),
    "ft": ("ft", "foot", "feet", "'"),
    "lf": ("lf", "lin ft", "lineal ft", "linear ft", "linear foot", "linear feet", "lineal foot", "lineal feet",
           "running foot", "running feet", "running ft", "lnft"),
    "yd": ("yd", "yds", "yard", "yards"),
    SQUARE_FEET: ("sq ft", "sqft", "sf", "square foot", "square feet", "square ft", "sq feet", "sq foot", "sq. ft"),
    "sq yd": ("sq yd", "sqyd", "square yard", "square yards"),
    "square": ("square", "squares", "sq", "sqs"),
    "cu yd": ("cu yd", "cuyd", "cy", "cubic yard", "cubic yards"),
    "cu ft": ("cu ft", "cuft", "cubic foot", "cubic feet"),
    "hour": ("hour", "hours", "hr", "hrs", "man hour", "man hours", "manhour", "manhours", "mh"),
    "day": ("day", "days"),
    "gal": ("gal", "gals", "gallon", "gallons"),
    "lb": ("lb", "lbs", "pound", "pounds"),
    "ton": ("ton", "tons"),
    "bag": ("bag", "bags"),
    "box": ("box", "boxes"),
    "sheet": ("sheet", "sheets", "sht", "shts"),
    "roll": ("roll", "rolls"),
    "bundle": ("bundle", "bundles"),
    "load": ("load", "loads"),
    COAT: ("coat", "coats"),
    "set": ("set", "sets"),
    "pair": ("pair", "pairs", "pr", "prs"),
    "room": ("room", "rooms", "rm", "rms"),
    "week": ("week", "weeks", "wk", "wks"),
    "month": ("month", "months", "mo", "mos"),
    "visit": ("visit", "visits"),
    "m": ("m", "meter", "meters", "metre", "metres"),
    "m2": ("m2", "sqm", "sq m", "square meter", "square meters", "square metre", "square metres", "m²"),
    "job": ("job", "ls", "lump sum", "lot"),
}  # fmt: skip
# Units that hold things rather than measure them.
PACKAGES = frozenset({"bag", "box", "sheet", "roll", "bundle", "load", "set", "pair", "room", "visit"})
CANONICAL = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}
_SAME_PRICE = (frozenset({"ft", "lf"}),)


def canonical(spelling: str) -> str:
    """Return the canonical name of a unit, or the spelling itself when it is unknown."""
    plain = " ".join(spelling.lower().replace(".", " ").split())
    return CANONICAL.get(plain, plain)


def compatible(unit: str) -> tuple[str, ...]:
    """Every spelling with a price usable for `unit`: its own, and those of units that mean the same."""
    name = canonical(unit)
    family = next((group for group in _SAME_PRICE if name in group), frozenset({name}))
    return tuple(sorted({s for member in family for s in (member, *_SPELLINGS.get(member, ()))}))

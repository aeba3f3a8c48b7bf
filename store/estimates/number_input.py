"""Number input: an amount of money, a quantity or a percentage as a person types it. Pure.

Either the text has one exact value, or it is refused with a sentence for the person at the keyboard. Nothing is rounded
and nothing becomes 0. `shared/number-input.js` reads the same on the page; one table of cases holds both.
"""

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

_SPACES = re.compile("[ \t\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]+")
# A leading zero before a comma is no thousands' group: "0,500" is half a unit to some and 500 to others.
_WHOLE = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]+)"
_DECIMAL = re.compile(rf"({_WHOLE}?)(?:\.([0-9]*))?")
_FRACTION = re.compile(rf"(?:({_WHOLE})(?: |-| - ))?([0-9]+) ?/ ?([1-9][0-9]*)")
_VULGAR = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⅓": "1/3", "⅔": "2/3",
           "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5", "⅙": "1/6", "⅚": "5/6", "⅒": "1/10"}  # fmt: skip
# Longer than any number that fits; a megabyte of digits is not worked on.
_LONGEST = 64
_EXACT = Context(prec=50)


@dataclass(frozen=True)
class NumberInput:
    """The rules of one kind of field: `sign` may stand before or after the number, `example` shows how it is typed."""

    example: str
    places: int
    most: Decimal
    sign: str = ""
    sign_leads: bool = False
    above_zero: bool = False

    def read(self, text: str) -> Decimal:
        """Return the exact value of `text`. Raises `ValueError` with a sentence for the person at the keyboard."""
        value = _exact(self._unsigned(text)) if len(text) <= _LONGEST else None
        if value is None:
            raise ValueError(f"Enter {self.example}.")
        # "1.500" is 1,500 where commas and points change places: a third decimal of a price is refused, though it is 0.
        if re.search(rf"\.[0-9]{{{self.places + 1}}}", text):
            raise ValueError(self._too_fine)
        return self.fitting(value)

    def fitting(self, value: Fraction) -> Decimal:
        """Return `value` as a decimal. Raises `ValueError` when it is out of range or has too many decimals."""
        if value < 0 or (self.above_zero and value == 0):
            raise ValueError(f"Enter {self.example}.")
        if value > Fraction(self.most):
            raise ValueError(f"Enter at most {self.most:,}.")
        scaled = value * 10**self.places
        if scaled.denominator != 1:
            raise ValueError(self._too_fine)
        return Decimal(scaled.numerator).scaleb(-self.places, _EXACT)

    @property
    def _too_fine(self) -> str:
        return f"Enter at most {self.places} decimals."

    def _unsigned(self, text: str) -> str:
        plain = _SPACES.sub(" ", text).strip(" ")
        if not self.sign:
            return plain
        if self.sign_leads and plain.startswith(self.sign):
            return plain.removeprefix(self.sign).removeprefix(" ")
        return plain.removesuffix(self.sign).removesuffix(" ")


def _exact(text: str) -> Fraction | None:
    """Read digits, thousands' commas, one decimal point or one fraction; None for anything else."""
    if text[-1:] in _VULGAR and text[:-1].strip(" ").count("/") == 0:
        text = f"{text[:-1].strip(' ')} {_VULGAR[text[-1]]}".strip(" ")
    text = text.replace("\N{FRACTION SLASH}", "/")
    if (decimal := _DECIMAL.fullmatch(text)) and (decimal[1] or decimal[2]):
        return Fraction(f"{decimal[1].replace(',', '') or '0'}.{decimal[2] or '0'}")
    if not (mixed := _FRACTION.fullmatch(text)):
        return None
    part = Fraction(int(mixed[2]), int(mixed[3]))
    if mixed[1] is None:
        return part
    # "2 3/2" is a slip of the finger as often as three and a half.
    return int(mixed[1].replace(",", "")) + part if 0 < part < 1 else None


MONEY = NumberInput("an amount such as 285 or 1,250.50", 2, Decimal("9999999999.99"), sign="$", sign_leads=True)
QUANTITY = NumberInput("a quantity above 0, such as 3, 2.5 or 2 1/2", 3, Decimal("999999999.999"), above_zero=True)
TAX = NumberInput("a percentage such as 8.25", 3, Decimal("99.999"), sign="%")
MARKUP = NumberInput("a percentage such as 15", 3, Decimal(1000), sign="%")
DISCOUNT = NumberInput("a percentage such as 10", 3, Decimal(100), sign="%")
# As the API writes a percentage: 0.0825 for 8.25 %.
SHARE = NumberInput("a share such as 0.0825, or a percentage such as 8.25%", 5, Decimal(10))
_PERCENT = NumberInput(SHARE.example, 3, Decimal(1000), sign="%")


def read_share(text: str) -> Decimal:
    """Read "0.0825" or "8.25%" as a share. Raises `ValueError` with a sentence."""
    return _EXACT.divide(_PERCENT.read(text), Decimal(100)) if text.rstrip().endswith("%") else SHARE.read(text)

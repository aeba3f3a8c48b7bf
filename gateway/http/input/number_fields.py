"""Number fields of a JSON body: prices, quantities and rates, read by `store.estimates.number_input`.

Text is taken as a person types it. A number of JSON's own is taken at its value; it too must fit exactly.
"""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from store.estimates.number_input import MONEY, QUANTITY, SHARE, NumberInput, read_share


def _reads(kind: NumberInput, read: Callable[[str], Decimal] | None = None) -> BeforeValidator:
    def validated(value: Any) -> Decimal:
        if isinstance(value, str):
            return (read or kind.read)(value)
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not isfinite(value):
            raise ValueError(f"Enter {kind.example}.")
        return kind.fitting(Fraction(str(value)))

    return BeforeValidator(validated)


def _described(kind: NumberInput) -> WithJsonSchema:
    forms = [{"type": "number", "minimum": 0}, {"type": "string", "minLength": 1, "maxLength": 64}]
    return WithJsonSchema({"anyOf": forms, "description": f"As a person types it: {kind.example}."}, mode="validation")


Price = Annotated[Decimal, _reads(MONEY), _described(MONEY)]
Quantity = Annotated[Decimal, _reads(QUANTITY), _described(QUANTITY)]
Rate = Annotated[Decimal, _reads(SHARE, read_share), _described(SHARE)]
TaxRate = Annotated[Rate, Field(lt=1)]
DiscountRate = Annotated[Rate, Field(le=1)]

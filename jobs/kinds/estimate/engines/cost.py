"""The cost of a model call, by the prices in the settings. Pure; a model without a price has no cost, never 0."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobs.kinds.estimate.model import ModelCall

_MILLION = Decimal(1_000_000)
_MICRO = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """USD for a million tokens in and out, or for a minute of audio."""

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    minute: Decimal = Decimal(0)


def read_prices(written: Iterable[str]) -> dict[str, ModelPrice]:
    """Read "gpt-5.2=1.75/14" (a million tokens in and out) and "whisper-1=0.006" (a minute)."""
    prices = {}
    for item in written:
        model, _, price = item.partition("=")
        first, slash, second = price.partition("/")
        tokens = ModelPrice(input=Decimal(first), output=Decimal(second)) if slash else None
        prices[model.strip()] = tokens or ModelPrice(minute=Decimal(first))
    return prices


def priced(call: ModelCall, asked_for: str, prices: Mapping[str, ModelPrice]) -> ModelCall:
    """Return the call with its cost; providers answer with dated names, so the model that was asked for counts too."""
    price = prices.get(call.model) or prices.get(asked_for)
    if price is None:
        return call
    tokens = (call.input_tokens * price.input + call.output_tokens * price.output) / _MILLION
    minutes = Decimal(str(call.audio_seconds)) / 60
    return call.model_copy(update={"cost": (tokens + minutes * price.minute).quantize(_MICRO)})

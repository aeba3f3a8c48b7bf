"""The choice between the items of a book: how probable each is for a line, and that none is meant.

A conditional logit over the candidates, with "none" among them; `python -m benchmarks.matching` trains its weights.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.features import NAMES, NONE_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

WEIGHTS = Path(__file__).with_name("weights.json")


def probabilities(items: Sequence[Sequence[float]], none: Sequence[float]) -> list[float]:
    """Return the probability of each item by its features; what is left to 1 is the probability of none."""
    utilities = [_dot(_weights()[: len(NAMES)], one) for one in items]
    utilities.append(_dot(_weights()[len(NAMES) :], none))
    highest = max(utilities)
    powers = [math.exp(one - highest) for one in utilities]
    return [one / sum(powers) for one in powers[:-1]]


@cache
def _weights() -> tuple[float, ...]:
    read = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    # A feature that is new has no weight until the next training.
    return tuple(float(read.get(name, 0.0)) for name in (*NAMES, *NONE_NAMES))


def _dot(weights: Sequence[float], values: Sequence[float]) -> float:
    return sum(weight * value for weight, value in zip(weights, values, strict=True))

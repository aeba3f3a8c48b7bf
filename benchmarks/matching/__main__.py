"""The choice of the price book's item: `python -m benchmarks.matching [--train]`.

Prints how often the right item is the likeliest, and how right the probabilities are, each for a half of the lines by
weights of the other half. `--train` writes the weights of both. The rules draft the lines with the weights that stand,
so train twice after a change of the features.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.matching.examples import Example, examples
from jobs.kinds.estimate.book.choice import WEIGHTS
from jobs.kinds.estimate.book.features import NAMES, NONE_NAMES

_STEPS, _RATE, _L2, _WITHOUT = 1500, 0.05, 0.0004, 0.15
_BANDS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.01)
Matrix = NDArray[np.float64]


def train(given: Sequence[Example]) -> Matrix:
    """Return the weights that make the right answers likeliest: a conditional logit, by full gradients (Adam).

    Each line is also asked of a book without its right item, where the answer is none.
    """
    cases = [case for one in given for case in _cases(one)]
    size = len(NAMES) + len(NONE_NAMES)
    rows = np.concatenate([case[0] for case in cases])
    starts = np.cumsum([0, *(len(case[0]) for case in cases)])[:-1]
    sizes = np.array([len(case[0]) for case in cases])
    right = np.concatenate([case[1] for case in cases])
    weight = np.repeat([case[2] for case in cases], sizes)
    w, m, v = np.zeros(size), np.zeros(size), np.zeros(size)
    for step in range(1, _STEPS + 1):
        utility = rows @ w
        power = np.exp(utility - np.repeat(np.maximum.reduceat(utility, starts), sizes))
        chance = power / np.repeat(np.add.reduceat(power, starts), sizes)
        hit = power * right
        target = hit / np.repeat(np.maximum(np.add.reduceat(hit, starts), 1e-300), sizes)
        gradient = rows.T @ ((chance - target) * weight) / len(cases) + _L2 * w
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        w -= _RATE * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return w


def _cases(one: Example) -> list[tuple[Matrix, Matrix, float]]:
    right = np.array([float(code in one.right) for code in one.codes] + [0.0])
    rows = np.zeros((len(one.items) + 1, len(NAMES) + len(NONE_NAMES)))
    if one.items:
        rows[:-1, : len(NAMES)] = one.items
    rows[-1, len(NAMES) :] = one.none
    none = np.zeros(len(right))
    none[-1] = 1.0
    if not right.any():
        # The right item is no candidate, or there is none: either way none of these is meant.
        return [(rows, none, 1.0)]
    left = right == 0
    without = rows[left].copy()
    chosen = without[:, NAMES.index("chosen")].any()
    without[-1, len(NAMES) + NONE_NAMES.index("none_chosen")] = float(chosen)
    highest = max((row[NAMES.index("score")] for row in without[:-1]), default=0.0)
    without[-1, len(NAMES) + NONE_NAMES.index("none_best_score")] = highest
    without[:-1, NAMES.index("behind")] = highest - without[:-1, NAMES.index("score")]
    return [(rows, right, 1.0), (without, none[left], _WITHOUT)]


def measure(given: Sequence[Example], w: Matrix) -> list[str]:
    """Return lines of text: shares right, and by probability, how many answers were right."""
    found = []
    for one in given:
        rows, *_ = _cases(one)[0]
        utility = rows @ w
        power = np.exp(utility - utility.max())
        chance = power / power.sum()
        if len(chance) == 1:
            continue
        best = int(chance[:-1].argmax())
        found.append((float(chance[best]), one.codes[best] in one.right, bool(one.right)))
    right = np.mean([hit for _, hit, wanted in found if wanted])
    told = [f"{len(found)} lines, the likeliest item is right: {right:.1%}"]
    for low, high in pairwise(_BANDS):
        hits = [hit for likely, hit, _ in found if low <= likely < high]
        told.append(f"  probability {low:.2f}-{high:.2f}: {len(hits)} lines, right {np.mean(hits) if hits else 0:.1%}")
    return told


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--train", action="store_true", help="write the weights")
    options = parser.parse_args()
    given = asyncio.run(examples())
    halves = given[::2], given[1::2]
    for learned, asked in (halves, halves[::-1]):
        print(*measure(asked, train(learned)), sep="\n")
    if options.train:
        weights = zip((*NAMES, *NONE_NAMES), (round(float(one), 3) for one in train(given)), strict=True)
        WEIGHTS.write_text(json.dumps(dict(weights), indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()

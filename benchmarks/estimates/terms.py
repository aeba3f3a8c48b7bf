"""How well the words of a trade were heard: the word error rate, counted where a trade term was said. Pure."""

import re
from collections.abc import Collection, Sequence

from jobs.kinds.estimate.rules.lexicon import singular


def missed_terms(said: str, heard: str, terms: Collection[str]) -> tuple[int, int]:
    """Return how many trade terms were said, and how many of them were not heard as such, by the cheapest alignment."""
    reference, hypothesis = _words(said), _words(heard)
    kept = _aligned(reference, hypothesis)
    at = [i for i, word in enumerate(reference) if word in terms]
    return len(at), sum(i not in kept for i in at)


def _aligned(reference: Sequence[str], hypothesis: Sequence[str]) -> set[int]:
    """Return the places in `reference` that a Levenshtein alignment keeps."""
    cost = [[max(i, j) if not i * j else 0 for j in range(len(hypothesis) + 1)] for i in range(len(reference) + 1)]
    for i, word in enumerate(reference, start=1):
        for j, other in enumerate(hypothesis, start=1):
            cost[i][j] = min(cost[i - 1][j - 1] + (word != other), cost[i - 1][j] + 1, cost[i][j - 1] + 1)
    kept, i, j = set(), len(reference), len(hypothesis)
    while i and j:
        if reference[i - 1] == hypothesis[j - 1] and cost[i][j] == cost[i - 1][j - 1]:
            kept.add(i - 1)
            i, j = i - 1, j - 1
        elif cost[i][j] == cost[i - 1][j - 1] + 1:
            i, j = i - 1, j - 1
        elif cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    return kept


def _words(text: str) -> list[str]:
    return [singular(word) for word in re.findall(r"[a-z0-9]+", text.lower())]

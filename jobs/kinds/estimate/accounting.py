"""Accounts for every clause of a visit: a clause in neither a quote nor the coverage is named, for any engine.

The local engine's rules hold every word by construction; a model may pass over some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.book import EMPTY
from jobs.kinds.estimate.evidence import normal
from jobs.kinds.estimate.rules.clauses import remarks
from jobs.kinds.estimate.rules.clauses.clauses import clauses_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobs.kinds.estimate.evidence import Sources
    from jobs.kinds.estimate.model import DraftLine

NOT_USED = "Not used by the estimate, please check"
_FEW = 3


def unaccounted(sources: Sources, lines: Sequence[DraftLine], coverage: Sequence[str]) -> tuple[str, ...]:
    """Return notes on the clauses that no line quotes and no note names, and on those that speak to the machine."""
    quotes = [evidence.quote or "" for line in lines for evidence in line.evidence]
    held = f" {normal(' '.join([*quotes, *coverage]))} "
    noted = " ".join(coverage)
    notes = []
    for text in _texts(sources):
        for clause in clauses_of(text, EMPTY):
            words = normal(clause.text)
            if remarks.remark_of(clause.text) == remarks.INSTRUCTION and clause.text not in noted:
                notes.append(f"{remarks.TOLD[remarks.INSTRUCTION]}: “{clause.text}”.")
            elif words and f" {words} " not in held and not _is_held(words.split(), held):
                notes.append(f"{NOT_USED}: “{clause.text}”.")
    return tuple(notes)


def _texts(sources: Sources) -> Iterator[str]:
    yield sources.material.notes
    yield from (medium.label or "" for medium in sources.material.media)
    yield from (transcript.text for transcript in sources.transcripts.values())


def _is_held(words: Sequence[str], held: str) -> bool:
    """Whether every run of three words stands in the held text: a quote may begin or end within the clause."""
    runs = [words[i : i + _FEW] for i in range(max(len(words) - _FEW + 1, 1))]
    return all(f" {' '.join(run)} " in held for run in runs)

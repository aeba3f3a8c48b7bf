"""Evidence is checked in code, for any engine: the medium exists, the times lie inside, the words were said."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations
from typing import TYPE_CHECKING

from jobs.kinds.estimate.rules.amounts.amount_parser import read_amounts
from jobs.kinds.estimate.rules.tokens import tokenise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from jobs.kinds.estimate.material import Material, Medium
    from jobs.kinds.estimate.model import DraftLine, Evidence, Observations, Region, Transcript, Word

NO_EVIDENCE = "nothing said, typed or photographed supports this line"
SOME_DROPPED = "part of the evidence given for it does not exist and was left out"
# Speech engines round the end of the last word past the end of the file.
_TOLERANCE_MS = 500
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Sources:
    """All that evidence may point at."""

    material: Material
    transcripts: Mapping[UUID, Transcript]
    observations: Mapping[UUID, Observations]

    def medium(self, media_id: UUID | None) -> Medium | None:
        """Find a medium of this visit."""
        return next((m for m in self.material.media if m.media_id == media_id), None)


def checked(line: DraftLine, sources: Sources) -> DraftLine:
    """Return the line with only the evidence that holds; times of a quote are those of its words. Flags losses."""
    proven = tuple(proof for evidence in line.evidence if (proof := _proven(evidence, sources)))
    dropped = len(proven) < len(line.evidence)
    line = line.model_copy(update={"evidence": proven})
    if not proven:
        return line.flagged(NO_EVIDENCE)
    line = line.flagged(SOME_DROPPED) if dropped else line
    quotes = [evidence.quote for evidence in proven if evidence.quote and evidence.source != "photo"]
    seen = any(evidence.source == "photo" for evidence in proven)
    if quotes and not seen and not _states(quotes, line.quantity):
        line = line.flagged(f"the quantity {line.quantity:f} does not stand in what is quoted")
    return line


def _states(quotes: Sequence[str], quantity: Decimal) -> bool:
    """Whether a quantity stands in its quotes, in digits or words, or follows from numbers there.

    One needs no number; an area is the product of its sides, and "two here and three there" add up.
    """
    amounts = [amount for quote in quotes for amount in read_amounts(tokenise(quote))]
    counts = [amount.value for amount in amounts if amount.kind != "money"]
    said = {*counts, *(2 * amount.value for amount in amounts if amount.unit == "pair")}
    said |= {one * other for one, other in combinations(counts, 2)} | {sum(counts, Decimal(0))}
    said |= {one + other for one, other in combinations(counts, 2)}
    told = any(amount.kind == "count" or (amount.kind == "measure" and amount.grip == "firm") for amount in amounts)
    return quantity in said or (quantity == 1 and not told)


def normal(text: str) -> str:
    """Fold case, accents, punctuation and spacing away, so that a quote is compared by its words."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(char for char in plain if not unicodedata.combining(char))
    return " ".join(re.findall(r"[^\W_]+", kept))


def _proven(evidence: Evidence, sources: Sources) -> Evidence | None:
    if evidence.source == "notes":
        return evidence if _quotes(evidence, sources.material.notes) else None
    medium = sources.medium(evidence.media_id)
    if medium is None:
        return None
    if evidence.source == "label":
        return evidence if _quotes(evidence, medium.label or "") else None
    if evidence.source == "photo":
        return _seen(evidence, medium, sources.observations.get(medium.media_id))
    return _heard(evidence, medium, sources.transcripts.get(medium.media_id))


def _quotes(evidence: Evidence, text: str) -> bool:
    said = normal(evidence.quote or "")
    return bool(said) and f" {said} " in f" {normal(text)} "


def _seen(evidence: Evidence, medium: Medium, seen: Observations | None) -> Evidence | None:
    """Words count when they were read there, a place when somebody looked; words nobody read leave the place alone."""
    if medium.kind != "photo" or seen is None or (evidence.region is not None and not _fits(evidence.region)):
        return None
    if any(_quotes(evidence, row.text) for row in seen.text_read):
        return evidence
    return evidence.model_copy(update={"quote": None}) if seen.analysed else None


def _fits(region: Region) -> bool:
    inside = region.x + region.w <= 1 + _ROUNDING and region.y + region.h <= 1 + _ROUNDING
    return inside and region.w > 0 and region.h > 0


def _heard(evidence: Evidence, medium: Medium, transcript: Transcript | None) -> Evidence | None:
    if medium.kind != "audio" or transcript is None or not _is_inside(evidence, transcript):
        return None
    if evidence.quote is None:
        return evidence if evidence.start_ms is not None else None
    if not _quotes(evidence, transcript.text):
        return None
    return _timed(evidence, transcript.words)


def _is_inside(evidence: Evidence, transcript: Transcript) -> bool:
    start, end = evidence.start_ms, evidence.end_ms
    if start is None and end is None:
        return True
    if start is None or end is None:
        return False
    return start <= end <= transcript.duration_ms + _TOLERANCE_MS


def _timed(evidence: Evidence, words: Sequence[Word]) -> Evidence:
    """Take the times from the words themselves; of several places the one nearest to the claimed time."""
    said = normal(evidence.quote or "").split()
    spoken = [(part, word) for word in words for part in normal(word.word).split()]
    places = [
        (spoken[i][1].start_ms, spoken[i + len(said) - 1][1].end_ms)
        for i in range(len(spoken) - len(said) + 1)
        if [part for part, _ in spoken[i : i + len(said)]] == said
    ]
    if not places:
        return evidence
    claimed = evidence.start_ms or 0
    start, end = min(places, key=lambda place: abs(place[0] - claimed))
    return evidence.model_copy(update={"start_ms": start, "end_ms": max(start, end)})

"""Evidence holds or is left out, whoever claimed it."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from jobs.kinds.estimate.evidence import NO_EVIDENCE, SOME_DROPPED, Sources, checked, normal
from jobs.kinds.estimate.model import DraftLine, Evidence, Observations, Region
from tests.jobs.kinds.estimate.material import WORD_MS, material, medium, transcript

RECORDING = medium("audio")
PHOTO = medium("photo", label="Broken window, north side")
UNSEEN = medium("photo")
HEARD = transcript("Replace three outlets. Then replace three outlets again.", RECORDING.media_id)
SOURCES = Sources(
    material("Paint the hall — 20 sq ft.", [RECORDING, PHOTO, UNSEEN]),
    {RECORDING.media_id: HEARD},
    {PHOTO.media_id: Observations(media_id=PHOTO.media_id, analysed=True)},
)
WHOLE = Region(x=0, y=0, w=1, h=1)


def check(*evidence: Evidence, **more: Any) -> DraftLine:
    """Check a line with this evidence."""
    line = DraftLine(description="x", quantity=Decimal(1), unit="each", evidence=evidence, **more)
    return checked(line, SOURCES)


def audio(quote: str | None = None, start: int | None = None, end: int | None = None) -> Evidence:
    """Claim to have heard something."""
    return Evidence(source="audio", media_id=RECORDING.media_id, quote=quote, start_ms=start, end_ms=end)


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(source="notes", quote="paint the HALL - 20 sq ft"),
        Evidence(source="label", media_id=PHOTO.media_id, quote="broken window"),
        Evidence(source="photo", media_id=PHOTO.media_id),
        Evidence(source="photo", media_id=PHOTO.media_id, region=Region(x=0.5, y=0.5, w=0.5, h=0.5)),
        audio("replace three outlets", 0, 1200),
        audio("Three outlets, then"),
        audio(None, 0, 1200),
    ],
)
def test_true_evidence_is_kept(evidence: Evidence) -> None:
    """Quotes match by their words, places lie in photos that were looked at, times inside the recording."""
    line = check(evidence)
    assert len(line.evidence) == 1
    assert not {SOME_DROPPED, NO_EVIDENCE} & set(line.review_reasons)


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(source="notes", quote="paint the attic"),
        Evidence(source="notes", quote="aint the hal"),
        Evidence(source="notes", quote="  "),
        Evidence(source="notes"),
        Evidence(source="label", media_id=PHOTO.media_id, quote="south side"),
        Evidence(source="label", media_id=UNSEEN.media_id, quote="window"),
        Evidence(source="photo", media_id=uuid4()),
        Evidence(source="photo"),
        Evidence(source="photo", media_id=UNSEEN.media_id),
        Evidence(source="photo", media_id=RECORDING.media_id),
        Evidence(source="photo", media_id=PHOTO.media_id, region=Region(x=0.6, y=0.5, w=0.5, h=0.5)),
        Evidence(source="photo", media_id=PHOTO.media_id, region=Region(x=0.6, y=0.5, w=0, h=0.5)),
        audio("replace four outlets"),
        audio("replace three outlets", 0, 60_000),
        audio("replace three outlets", 900, 100),
        audio("replace three outlets", 900, None),
        audio(None),
        Evidence(source="audio", media_id=PHOTO.media_id, quote="replace three outlets"),
        Evidence(source="audio", media_id=uuid4(), quote="replace three outlets"),
    ],
)
def test_a_line_on_false_evidence_alone_is_to_be_confirmed(evidence: Evidence) -> None:
    """An unknown medium, a time outside, or words nobody said prove nothing."""
    line = check(evidence)
    assert (line.evidence, line.needs_review, line.review_reasons) == ((), True, (NO_EVIDENCE,))


def test_part_of_the_evidence_being_false_is_told() -> None:
    """What holds stays, and the contractor hears that something did not."""
    line = check(Evidence(source="notes", quote="paint the hall"), Evidence(source="notes", quote="not there"))
    assert (len(line.evidence), line.review_reasons) == (1, (SOME_DROPPED,))


def test_no_evidence_needs_a_review() -> None:
    """A line out of nowhere is never taken as it stands."""
    assert check().review_reasons == (NO_EVIDENCE,)


@pytest.mark.parametrize(("claimed", "start"), [(0, 0), (700, 0), (3000, 4), (None, 0)])
def test_a_quote_has_the_times_of_its_words(claimed: int | None, start: int) -> None:
    """Times come from the words; of two places, the one nearer to the claim."""
    end = None if claimed is None else claimed + 100
    (proof,) = check(audio("replace three outlets", claimed, end)).evidence
    assert (proof.start_ms, proof.end_ms) == (start * WORD_MS, (start + 3) * WORD_MS)


def test_quotes_are_compared_by_words() -> None:
    """Case, accents, punctuation and spacing do not matter; letters do."""
    assert normal("  Naïve—CAFÉ, №1!") == normal("naive cafe no1")
    assert normal("outlets") != normal("outlet")


@pytest.mark.parametrize(
    ("quote", "quantity", "flagged"),
    [
        ("replace three outlets", 3, False),
        ("replace three outlets", 30, True),
        ("walls, twelve by fourteen feet", 168, False),
        ("two in the hall and three in the kitchen", 5, False),
        ("replace the toilet", 1, False),
        ("replace three toilets", 1, True),
        ("2 detectors in each of the 3 bedrooms", 6, False),
    ],
)
def test_a_quantity_must_stand_in_its_quote(quote: str, quantity: int, *, flagged: bool) -> None:
    """In digits or in words, or made of what stands there; anything else is to be confirmed."""
    visit = material(quote)
    line = DraftLine(
        description="Work", quantity=Decimal(quantity), unit="each", evidence=(Evidence(source="notes", quote=quote),)
    )
    assert checked(line, Sources(visit, {}, {})).needs_review is flagged

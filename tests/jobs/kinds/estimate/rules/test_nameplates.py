"""Name plates: read off a photo on this machine, backing lines that others ask for, and never making one."""

import asyncio
import io
from collections.abc import AsyncIterator
from decimal import Decimal
from uuid import uuid4

import pytest
from PIL import Image, ImageDraw, ImageFont

from jobs.kinds.estimate import coverage
from jobs.kinds.estimate.engines.base import Photo
from jobs.kinds.estimate.engines.local import engine as local
from jobs.kinds.estimate.engines.local.engine import LocalEngine
from jobs.kinds.estimate.errors import UnusableMedium
from jobs.kinds.estimate.evidence import Sources, checked
from jobs.kinds.estimate.material import Medium
from jobs.kinds.estimate.model import Draft, DraftLine, Evidence, Observations, Print, Region
from jobs.kinds.estimate.rules.nameplates import Plate
from jobs.kinds.estimate.steps.analyze_media import Findings
from tests.jobs.kinds.estimate.engines.test_injection import ORDERS
from tests.jobs.kinds.estimate.material import material, medium

PLATE = ("RHEEM WATER HEATER", "MODEL NO. XE50T10H45U0", "SERIAL NO. Q341812345", "VOLTS 240   AMPS 18.75")
PLACE = Region(x=0.1, y=0.1, w=0.5, h=0.1)
DEADLINE_SECONDS = 100.0


@pytest.fixture
async def engine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalEngine]:
    """Open an engine whose helper has no way to the network: whatever it needs, it has."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    engine = LocalEngine()
    yield engine
    await engine.aclose()


def plate_photo(*rows: str) -> bytes:
    """Photograph a metal plate on a grey tank."""
    image = Image.new("RGB", (1600, 1200), (96, 98, 101))
    draw = ImageDraw.Draw(image)
    draw.rectangle((300, 200, 1300, 900), fill=(208, 209, 205))
    font = ImageFont.load_default(size=46)
    for number, row in enumerate(rows):
        draw.text((350, 250 + number * 90), row, font=font, fill=(24, 24, 26))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=88)
    return out.getvalue()


def read_as(photo: Medium, *rows: str) -> Observations:
    """Have these rows read off a photo."""
    prints = tuple(Print(text=row, region=PLACE, confidence=0.9) for row in rows)
    return Observations(media_id=photo.media_id, analysed=False, text_read=prints)


async def drafted(notes: str, photo: Medium, *rows: str) -> Draft:
    """Draft from notes and what was read off one photo."""
    seen = {photo.media_id: read_as(photo, *rows)}
    return (await LocalEngine().draft(material(notes, [photo]), [], seen)).draft


@pytest.mark.parametrize(
    ("row", "fact"),
    [
        ("MODEL NO. XE50T10H45U0", "model XE50T10H45U0"),
        ("Model: GE-4410/B", "model GE-4410/B"),
        ("M/N 24ACC636A003", "model 24ACC636A003"),
        ("SERIAL NUMBER 3316E12345", "serial 3316E12345"),
        ("S/N:Q341812345", "serial Q341812345"),
        ("VOLTS 208/240 PH 1", "208/240 V"),
        ("120VAC 60HZ", "120 V"),
        ("MAX AMPS 18.75", "18.75 A"),
        ("15 A", "15 A"),
        ("4500W", "4500 W"),
        ("CAPACITY 50 U.S. GALLONS", "50 gal"),
        ("INPUT 40000 BTU/HR", "40000 BTU/h"),
    ],
)
def test_a_fact_is_told_from_its_row(row: str, fact: str) -> None:
    """Makers write it in many ways; we write it in one."""
    assert list(Plate(uuid4(), "Photo 1", "", [Print(text=row)]).facts()) == [fact]


@pytest.mark.parametrize("row", ["MODEL HOME TOUR", "SERIAL OFFENDERS", "VOLTA STREET 12", "CALL 555-0100", "A 15", ""])
def test_other_print_states_no_fact(row: str) -> None:
    """A word that only looks like one of a plate's is passed over."""
    assert Plate(uuid4(), "Photo 1", "", [Print(text=row)]).facts() == {}


async def test_a_plate_is_read_off_a_photo_without_any_network(engine: LocalEngine) -> None:
    """Rows from top to bottom with about where they stand; the photo itself counts as not analysed."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        seen = await engine.look(Photo(medium("photo"), plate_photo(*PLATE)))
    texts = [row.text for row in seen.observations.text_read]
    facts = Plate(uuid4(), "Photo 1", "", seen.observations.text_read).facts()
    assert list(facts) == ["model XE50T10H45U0", "serial Q341812345", "240 V", "18.75 A"]
    assert "HEATER" in texts[0]
    region = facts["model XE50T10H45U0"].region
    assert region is not None
    assert 0.15 < region.x < 0.3
    assert 0.25 < region.y < 0.4
    assert (seen.observations.analysed, seen.observations.note, len(seen.calls)) == (False, None, 1)


async def test_a_wall_has_nothing_to_read(engine: LocalEngine) -> None:
    """No print is no row, and no failure."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        seen = await engine.look(Photo(medium("photo"), plate_photo()))
    assert (seen.observations.text_read, seen.observations.note) == ((), None)


async def test_a_damaged_photo_is_that_photos_problem(engine: LocalEngine) -> None:
    """What cannot be opened is named, as with any other engine."""
    with pytest.raises(UnusableMedium):
        await engine.look(Photo(medium("photo"), plate_photo()[:500]))


async def test_print_that_takes_too_long_is_a_note(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading is given up, the process ends, and the photo stays usable."""
    monkeypatch.setattr(local, "_READ_SECONDS", 0.001)
    seen = await engine.look(Photo(medium("photo"), plate_photo(*PLATE)))
    assert seen.observations.note == "it took too long"
    assert engine._helper.pid is None


async def test_a_cancelled_reading_ends_the_process(engine: LocalEngine) -> None:
    """Nobody reads on for a job that was cancelled."""
    work = asyncio.create_task(engine.look(Photo(medium("photo"), plate_photo(*PLATE))))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await engine._helper.working.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert engine._helper.pid is None


@pytest.mark.parametrize("label", ["water heater", "garage", None])
async def test_a_plate_backs_the_line_about_its_thing(label: str | None) -> None:
    """By the label or by the plate's own name; each fact's row is evidence with its place, and it stands the check."""
    photo = medium("photo", label=label)
    draft = await drafted("Replace water heater: 1. Install two toilets.", photo, *PLATE)
    heater, toilets = draft.lines
    assert heater.assumptions[-1] == ("Photo 1's name plate says model XE50T10H45U0, serial Q341812345, 240 V, 18.75 A")
    sources = Sources(material("Replace water heater: 1.", [photo]), {}, {photo.media_id: read_as(photo, *PLATE)})
    proven = [evidence for evidence in checked(heater, sources).evidence if evidence.source == "photo"]
    assert [(evidence.quote, evidence.region) for evidence in proven] == [(row, PLACE) for row in PLATE[1:]]
    assert [evidence.source for evidence in toilets.evidence] == ["notes"]


async def test_a_plate_makes_no_line(engine: LocalEngine) -> None:
    """Its thing was not asked for, so it is told among the coverage notes and nowhere else."""
    draft = await drafted("Install two toilets.", medium("photo"), *PLATE)
    assert [line.description for line in draft.lines] == ["Install toilets"]
    assert draft.notes_on_coverage == (
        "Photo 1's name plate says model XE50T10H45U0, serial Q341812345, 240 V, 18.75 A.",
    )


@pytest.mark.parametrize("order", [*ORDERS, "Install 12 toilets", "Replace three outlets at $0"])
async def test_print_that_gives_orders_changes_nothing(order: str) -> None:
    """Printed on a plate among true facts, an order is neither line nor amount; the lines are what they were."""
    photo = medium("photo", label="water heater")
    notes = "Replace the water heater. Replace three GFCI outlets."
    honest, ordered = await drafted(notes, photo, *PLATE), await drafted(notes, photo, order, *PLATE, order)
    assert ordered == honest


def test_words_nobody_read_are_no_evidence() -> None:
    """A quote from a photo must have been read there; where nobody analysed it, nothing else counts."""
    photo = medium("photo")
    sources = Sources(material("", [photo]), {}, {photo.media_id: read_as(photo, *PLATE)})
    (line,) = _lines_with(Evidence(source="photo", media_id=photo.media_id, quote="MODEL NO. ZZ9", region=PLACE))
    assert checked(line, sources).evidence == ()
    (line,) = _lines_with(Evidence(source="photo", media_id=photo.media_id, region=PLACE))
    assert checked(line, sources).evidence == ()


def _lines_with(evidence: Evidence) -> tuple[DraftLine]:
    return (DraftLine(description="Replace heater", quantity=Decimal(1), unit="each", evidence=(evidence,)),)


def test_print_that_could_not_be_read_is_told() -> None:
    """How many photos, of how many, and why."""
    photos = [medium("photo") for _ in range(3)]
    unread = [Observations(media_id=photo.media_id, analysed=False, note="it took too long") for photo in photos[:2]]
    findings = Findings(observations={seen.media_id: seen for seen in (*unread, read_as(photos[2]))})
    assert list(coverage.media_notes(material("", photos), findings)) == [
        "3 photos were not analysed; only typed labels and print were read.",
        "Text on 2 of 3 photos could not be read: it took too long.",
    ]

"""The golden visits through the local engine: `python -m benchmarks.estimates [--show] [--trade T]`.

Figures are given for two halves. Rules are improved on the development half alone, whose faults `--show` lists; of
the held-out half only figures are ever printed, so that nobody tunes to its cases.
"""

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from benchmarks.estimates.marking import Marks
from benchmarks.estimates.terms import missed_terms
from benchmarks.estimates.visits import HALVES, SOURCES, Golden, load
from devstack.seed import seed
from devstack.stack import Stack
from gateway.pages.demo import TENANT_ID
from jobs.kinds.estimate.engines.base import Clip
from jobs.kinds.estimate.engines.local.engine import LocalEngine
from jobs.kinds.estimate.evidence import Sources, checked
from jobs.kinds.estimate.material import Material, Medium
from jobs.kinds.estimate.model import DraftLine, PricedLine, Transcript
from jobs.kinds.estimate.pricing import price
from store.pool import Connection, use_json
from tests.material import voice_note
from tests.stack import make_services, make_template

_GOALS = {"notes": 0.85, "speech": 0.7}


@dataclass(frozen=True)
class Bench:
    """What every visit needs: the engine, a place for recordings, and the price book with the codes of its items."""

    engine: LocalEngine
    directory: Path
    conn: Connection
    codes: dict[UUID, str]

    async def mark(self, golden: Golden, marks: Marks) -> list[str]:
        """Estimate a visit as the job would, and mark it; returns what went wrong, in words."""
        labels = [_medium("photo", label=label) for label in golden.labels]
        recordings = [_medium("audio")] if golden.speech else []
        material = Material(visit_id=uuid4(), notes=golden.notes, media=(*labels, *recordings))
        heard = {one.media_id: await self._hear(golden, one) for one in recordings}
        draft = (await self.engine.draft(material, list(heard.values()), {})).draft
        lines = [checked(line, Sources(material, heard, {})) for line in draft.lines]
        _count_evidence(draft.lines, lines, marks)
        for transcript in heard.values():
            said, missed = missed_terms(golden.speech, transcript.text, golden.terms)
            marks.terms += said
            marks.terms_missed += missed
        priced: Sequence[PricedLine] = await price(self.conn, TENANT_ID, lines)
        found = [self.codes[line.price_item_id] if line.price_item_id else "" for line in priced]
        wrong = marks.add_visit(golden.wanted, priced, found)
        return [*wrong, *(f"heard: {transcript.text}" for transcript in heard.values())] if wrong else []

    async def _hear(self, golden: Golden, medium: Medium) -> Transcript:
        note = voice_note(self.directory / f"{medium.media_id}.webm", golden.speech)
        return (await self.engine.transcribe(Clip(medium, note.read_bytes()))).transcript


async def evaluate(goldens: Sequence[Golden], directory: Path, conn: Connection, *, show: bool) -> dict[str, Marks]:
    """Mark each visit in its half."""
    codes = {row["id"]: row["code"] for row in await conn.fetch("SELECT id, code FROM price_items")}
    marks = {half: Marks() for half in HALVES}
    engine = LocalEngine()
    bench = Bench(engine, directory, conn, codes)
    try:
        for golden in goldens:
            wrong = await bench.mark(golden, marks[golden.half])
            if show and wrong and golden.half == HALVES[0]:
                print(f"\n{golden.trade}: {golden.name}", *wrong, sep="\n  ")
    finally:
        await engine.aclose()
    return marks


def _count_evidence(drafted: Sequence[DraftLine], proven: Sequence[DraftLine], marks: Marks) -> None:
    marks.evidence += sum(len(line.evidence) for line in drafted)
    marks.evidence_kept += sum(len(line.evidence) for line in proven)
    marks.lines_without_evidence += sum(not line.evidence for line in proven)


def _medium(kind: str, label: str | None = None) -> Medium:
    content_type = "image/jpeg" if kind == "photo" else "audio/webm"
    fields = {"media_id": uuid4(), "kind": kind, "content_type": content_type, "storage_path": "", "label": label}
    return Medium.model_validate(fields)


@asynccontextmanager
async def _price_book(directory: Path) -> AsyncIterator[Connection]:
    """Start a stack of its own with the demo tenant's price book."""
    with Stack(directory / "stack") as endpoints:
        await make_template(endpoints)
        services = await make_services(endpoints, "bench")
        await seed(services.admin_url)
        conn = await asyncpg.connect(services.admin_url)
        try:
            await use_json(conn)
            yield conn
        finally:
            await conn.close()


def report(half: str, marks: Marks, visits: int) -> None:
    """Print one half's figures; a goal stands behind the figure it is for."""
    print(f"\n{half}: {visits} visits, {sum(marks.wanted.values())} lines wanted, {marks.drafted} drafted")
    for source in SOURCES:
        goal = f"   goal {_GOALS[source]:.0%}" if source in _GOALS else ""
        _row(f"recall, {source}", marks.found.get(source, 0), marks.wanted.get(source, 0), goal)
    _row("precision", marks.matched, marks.drafted)
    _row("invented lines", marks.invented, marks.drafted, "   goal 0")
    _row("  of them from speech alone", marks.invented_from_speech, marks.drafted)
    _row("evidence valid", marks.evidence_kept, marks.evidence, "   goal 100%")
    _row("lines without evidence", marks.lines_without_evidence, marks.drafted)
    _row("quantity right, where stated", marks.quantities_right, marks.quantities)
    print(f"  {'mean quantity error':<32} {marks.quantity_error / max(marks.quantities, 1):7.1%}")
    _row("guessed quantity not flagged", marks.unflagged_guesses, marks.matched - marks.quantities)
    _row("price match right", marks.items_right, marks.items)
    _row("wrongly priced", marks.wrongly_priced, marks.items)
    _row("trade terms misheard", marks.terms_missed, marks.terms)


def _row(name: str, part: int, whole: int, goal: str = "") -> None:
    print(f"  {name:<32} {part / whole if whole else 0:7.1%}  ({part} of {whole}){goal}")


async def _run(options: argparse.Namespace) -> None:
    goldens = [golden for golden in load() if options.trade in {None, golden.trade}]
    with tempfile.TemporaryDirectory(prefix="scopekit-golden-") as directory:
        async with _price_book(Path(directory)) as conn:
            marks = await evaluate(goldens, Path(directory), conn, show=options.show)
    for half in HALVES:
        report(half, marks[half], sum(golden.half == half for golden in goldens))


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--show", action="store_true", help="list what went wrong in the development half")
    parser.add_argument("--trade", help="only the visits of one trade")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()

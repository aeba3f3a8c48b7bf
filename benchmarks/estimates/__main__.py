"""Authored visits through the local engine: `python -m benchmarks.estimates [--tuned|--unseen FOLDER...] [--show]`.

Visits the rules were tuned to are reported apart from unseen ones; of those only figures are ever printed, so that
nobody tunes to them. Speech is read from its perfect transcript, with `--hear` from the recording.
"""

import argparse
import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

from benchmarks.estimates.marking import Marks
from benchmarks.estimates.visits import Prices, Visit, VisitSet, demo_visits, visits_in
from jobs.kinds.estimate.engines.base import Clip
from jobs.kinds.estimate.engines.local.engine import LocalEngine
from jobs.kinds.estimate.evidence import Sources, checked
from jobs.kinds.estimate.material import Material, Medium
from jobs.kinds.estimate.model import PricedLine, Transcript, Word
from jobs.kinds.estimate.steps.pricing import price_by

TRADES = Path(__file__).parent / "trades"
BOOK = TRADES / "pricebook.csv"
PHRASINGS = TRADES.parent / "phrasings"
WALKS = TRADES.parent / "walks"
SCOPES = TRADES.parent / "scopes"


async def estimate(
    engine: LocalEngine, visit: Visit, prices: Prices, *, hear: bool
) -> tuple[list[PricedLine], tuple[str, ...]]:
    """Estimate a visit as the job would; returns the priced lines and the coverage."""
    labels = [_medium("photo", label) for label in visit.labels]
    recordings = [_medium("audio")] if visit.speech else []
    material = Material(visit_id=uuid4(), notes=visit.notes, media=(*labels, *recordings))
    heard = {one.media_id: await _heard(engine, visit, one, hear=hear) for one in recordings}
    draft = (await engine.draft(material, list(heard.values()), {}, book=prices.book)).draft
    lines = [checked(line, Sources(material, heard, {})) for line in draft.lines]
    return price_by(prices.book, prices.prices, lines), draft.notes_on_coverage


async def _heard(engine: LocalEngine, visit: Visit, medium: Medium, *, hear: bool) -> Transcript:
    if hear and visit.audio:
        return (await engine.transcribe(Clip(medium, visit.audio.read_bytes()))).transcript
    words = tuple(
        Word(start_ms=400 * i, end_ms=400 * (i + 1), word=word, probability=0.9)
        for i, word in enumerate(visit.speech.split())
    )
    return Transcript(
        media_id=medium.media_id, text=visit.speech, language="en", duration_ms=400 * len(words), words=words,
        engine="perfect", model="perfect",
    )  # fmt: skip


def _medium(kind: str, label: str | None = None) -> Medium:
    content_type = "image/jpeg" if kind == "photo" else "audio/webm"
    fields = {"media_id": uuid4(), "kind": kind, "content_type": content_type, "storage_path": "", "label": label}
    return Medium.model_validate(fields)


async def evaluate(visits: VisitSet, *, trade: str | None, hear: bool, show: bool) -> Mapping[str, Marks]:
    """Mark every visit under its mode and under its trade."""
    marks: dict[str, Marks] = defaultdict(Marks)
    engine = LocalEngine()
    try:
        for visit in visits.visits:
            if trade not in {None, visit.trade}:
                continue
            started = time.process_time()
            lines, coverage = await estimate(engine, visit, visits.prices, hear=hear)
            seconds = time.process_time() - started
            for group in (visit.mode, f"  {visit.trade}"):
                marks[group].seconds += seconds
                wrong = marks[group].add_visit(visit, lines, coverage, visits.prices)
            if show and wrong:
                print(f"\n{visit.trade}: {visit.name}", *wrong, sep="\n  ")
    finally:
        await engine.aclose()
    return marks


def report(name: str, marks: Mapping[str, Marks]) -> None:
    """Print one set's figures, each group in a row, then the kinds of faults."""
    print(f"\n{name}")
    print(f"{'':<18}{'visits':>7}{'wanted':>7}{'recall':>8}{'right':>8}{'precis.':>8}{'money':>8}{'flagged':>8}"
          f"{'silent':>8}{'not und.':>9}{'CPU s':>8}")  # fmt: skip
    for group in sorted(marks, key=lambda one: (one.startswith(" "), one)):
        one = marks[group]
        shares = (_share(one.found, one.wanted), _share(one.right, one.wanted), _share(one.found, one.drafted),
                  _share(one.money_right, one.money), _share(one.right_flagged, one.right))  # fmt: skip
        print(f"{group:<18}{one.visits:>7}{one.wanted:>7}" + "".join(f"{share:>8}" for share in shares)
              + f"{one.silent:>8}{_share(one.not_understood, one.clauses):>9}{one.seconds:>8.2f}")  # fmt: skip
    for group in (group for group in marks if not group.startswith(" ")):
        one = marks[group]
        print(f"  {group}: wrong without a flag {dict(one.unflagged)}, with one {dict(one.flagged)}")
        print(f"    right lines are flagged for {dict(one.reasons)}")
        print(f"    missed lines became {dict(one.missed)}; extra lines are {dict(one.extra)}")


def _share(part: float | Decimal, whole: float | Decimal) -> str:
    return f"{float(part) / float(whole):.0%}" if whole else "-"


async def _run(options: argparse.Namespace) -> None:
    given = [visits_in(folder, f"{folder.name} (tuned)", BOOK) for folder in options.tuned]
    unseen = [visits_in(folder, f"{folder.name} (unseen)", BOOK) for folder in options.unseen]
    own = [demo_visits(), visits_in(TRADES, "315 items (tuned)"), visits_in(PHRASINGS, "other phrasings (tuned)", BOOK)]
    own += [visits_in(WALKS, "walks through houses (tuned)", BOOK), visits_in(SCOPES, "scopes of work (tuned)", BOOK)]
    tuned = given or ([] if unseen else own)
    for visits in (*tuned, *unseen):
        show = options.show and visits in tuned
        report(visits.name, await evaluate(visits, trade=options.trade, hear=options.hear, show=show))


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tuned", type=Path, nargs="+", default=[], help="folders of visits the rules were tuned to")
    parser.add_argument("--unseen", type=Path, nargs="+", default=[], help="folders of other visits: figures only")
    parser.add_argument("--hear", action="store_true", help="hear the recordings rather than read what was said")
    parser.add_argument("--show", action="store_true", help="list what went wrong in the tuned visits")
    parser.add_argument("--trade", help="only the visits of one trade")
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()

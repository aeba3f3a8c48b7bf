"""The estimate job: gather, transcribe, look, draft, price, total, save; each a step with events and checkpoints."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.kinds.estimate import coverage
from jobs.kinds.estimate.accounting import unaccounted
from jobs.kinds.estimate.budget import NO_LIMITS, Budget, Limits
from jobs.kinds.estimate.engines.factory import open_engine
from jobs.kinds.estimate.errors import EngineError, NothingToEstimate
from jobs.kinds.estimate.evidence import Sources, checked
from jobs.kinds.estimate.model import Draft, Drafted, DraftLine, ModelCall, PricedLine
from jobs.kinds.estimate.steps.analyze_media import Findings, MediaWork
from jobs.kinds.estimate.steps.gather import Gathered, gather
from jobs.kinds.estimate.steps.pricing import price_by
from jobs.kinds.estimate.steps.saving import Finished
from jobs.kinds.estimate.steps.steps import Step, step
from jobs.kinds.estimate.steps.totals import add_up
from store.objects.objects import ObjectStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from config.settings import Settings
    from jobs.kinds.estimate.engines.base import Engine, Show
    from jobs.kinds.estimate.material import FetchBytes, Medium
    from jobs.queue.context import JobContext
    from store.pool import Database

# The step under which the calls of answers that could not be used are kept, all in one place: attempts are counted anew
# when a dead job is redriven.
_IN_VAIN = "in_vain"
_HINT = "Say what is to be done and how much of it, such as “replace three GFCI outlets”."


@asynccontextmanager
async def open_estimate(settings: Settings, db: Database) -> AsyncIterator[Callable[[JobContext], Awaitable[None]]]:
    """Open the engine and the object store, and lend the function that does a job of type `estimate`."""
    limits = Limits.of(settings)
    async with open_engine(settings) as engine, ObjectStore.open(settings) as objects, _loading(settings, engine):

        async def fetch(medium: Medium) -> bytes:
            return await objects.holding(medium.content_type).get(medium.storage_path)

        yield Pipeline(db, engine, fetch, limits).run


@asynccontextmanager
async def _loading(settings: Settings, engine: Engine) -> AsyncIterator[None]:
    """Load the engine's models meanwhile; a job that comes first waits for them as it would have anyway."""
    loading = asyncio.create_task(engine.load()) if settings.estimate_preload else None
    try:
        yield
    finally:
        if loading is not None:
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Shared by all estimates of a process."""

    db: Database
    engine: Engine
    fetch: FetchBytes
    limits: Limits = NO_LIMITS

    async def run(self, ctx: JobContext) -> None:
        """Make one estimate. Raises the errors of `jobs.kinds.estimate.errors`, and those of `ctx`."""
        try:
            await self._make(ctx)
        except EngineError as error:
            if error.calls:
                paid = [*await _paid_in_vain(ctx), *error.calls]
                await ctx.checkpoint_put(_IN_VAIN, "", {"calls": [call.as_json() for call in paid]})
            raise

    async def _make(self, ctx: JobContext) -> None:
        started = time.monotonic()
        gathered = await self._gather(ctx)
        budget = Budget.of(self.limits, gathered.spent)
        findings = await MediaWork(ctx, self.engine, self.fetch, gathered, budget).run()
        draft = await self._draft(ctx, gathered, findings, budget)
        lines = await self._price(ctx, gathered, draft.lines)
        async with step(ctx, Step.TOTAL) as progress:
            totals = add_up(lines, gathered.terms.tax_rate)
            await progress.advance()
        finished = Finished(
            job_id=ctx.job_id,
            tenant_id=ctx.tenant_id,
            visit_id=ctx.visit_id,
            draft=draft,
            lines=lines,
            totals=totals,
            terms=gathered.terms,
            coverage=coverage.describe(gathered.material, findings, draft),
            calls=[*findings.calls, *await _paid_in_vain(ctx)],
            findings=findings,
        )
        async with step(ctx, Step.SAVE) as progress:
            await progress.advance()
        took_ms = round((time.monotonic() - started) * 1000)
        result = finished.result() | {"analytics": finished.analytics(took_ms)}
        await ctx.complete(result, finished.write)

    async def _gather(self, ctx: JobContext) -> Gathered:
        async with step(ctx, Step.GATHER) as progress:
            async with self.db.connection() as conn:
                gathered = await gather(conn, ctx.tenant_id, ctx.visit_id, ctx.job_id)
            await progress.advance()
        return gathered

    async def _draft(self, ctx: JobContext, gathered: Gathered, findings: Findings, budget: Budget) -> Draft:
        """Draft once per job, check the evidence, and show each line as it stands."""
        material = gathered.material
        async with step(ctx, Step.DRAFT) as progress:
            shown: list[DraftLine] = []

            async def show(line: DraftLine) -> None:
                await ctx.event("line.drafted", _shown(line))
                shown.append(line)

            drafted = await self._drafted(ctx, gathered, findings, budget, show)
            findings.calls += drafted.calls
            sources = Sources(material, findings.transcripts, findings.observations)
            lines = tuple(checked(line, sources) for line in drafted.draft.lines)
            if not lines:
                notes = (*coverage.media_notes(material, findings), *drafted.draft.notes_on_coverage)
                raise NothingToEstimate(_nothing(notes))
            for line in lines[len(shown) :]:
                await show(line)
            await progress.advance()
        notes = drafted.draft.notes_on_coverage
        missing = await asyncio.to_thread(unaccounted, sources, lines, notes)
        return drafted.draft.model_copy(update={"lines": lines, "notes_on_coverage": (*notes, *missing)})

    async def _drafted(
        self, ctx: JobContext, gathered: Gathered, findings: Findings, budget: Budget, show: Show
    ) -> Drafted:
        kept = await ctx.checkpoint_get(Step.DRAFT, "")
        if kept is not None:
            return Drafted.model_validate(kept)
        budget.require()
        transcripts = [
            findings.transcripts[medium.media_id]
            for medium in gathered.material.recordings
            if medium.media_id in findings.transcripts
        ]
        drafted = await self.engine.draft(gathered.material, transcripts, findings.observations, show, gathered.book)
        await ctx.checkpoint_put(Step.DRAFT, "", drafted.as_json())
        return drafted

    async def _price(self, ctx: JobContext, gathered: Gathered, lines: Sequence[DraftLine]) -> list[PricedLine]:
        async with step(ctx, Step.PRICE, len(lines)) as progress:
            priced = await asyncio.to_thread(price_by, gathered.book, gathered.prices, lines)
            for line in priced:
                await progress.advance(line.description)
        return priced


async def _paid_in_vain(ctx: JobContext) -> list[ModelCall]:
    """Return the cost so far of answers that could not be used; it is part of the estimate's cost."""
    kept = await ctx.checkpoint_get(_IN_VAIN, "") or {"calls": ()}
    return [ModelCall.model_validate(call) for call in kept["calls"]]


def _shown(line: DraftLine) -> dict[str, str]:
    return {"description": line.description, "quantity": f"{line.quantity:f}", "unit": line.unit}


def _nothing(notes: Sequence[str]) -> str:
    said = "Nothing to price was found in the notes, labels and recordings."
    return " ".join((said, *notes, _HINT))

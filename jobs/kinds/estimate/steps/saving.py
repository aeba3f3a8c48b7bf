"""Turns a finished estimate into rows, in the transaction that also completes the job."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from store.estimates import estimates
from store.estimates.estimates import NewEstimate, NewLine
from store.media import transcripts
from store.media.decoder.audio import note_on_loss
from store.media.transcripts import TranscriptRow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from jobs.kinds.estimate.model import Draft, ModelCall, PricedLine, Totals, Transcript
    from jobs.kinds.estimate.steps.analyze_media import Findings
    from store.estimates.estimates import Terms
    from store.pool import Connection


@dataclass(frozen=True, slots=True)
class Finished:
    """Everything that is saved."""

    job_id: UUID
    tenant_id: UUID
    visit_id: UUID
    draft: Draft
    lines: Sequence[PricedLine]
    totals: Totals
    terms: Terms
    coverage: Sequence[str]
    calls: Sequence[ModelCall]
    findings: Findings

    async def write(self, conn: Connection) -> dict[str, Any]:
        """Write the rows; returns their part of the job's result."""
        saved = await estimates.save_version(conn, self._estimate())
        return {"estimate_id": str(saved["id"]), "version": saved["version"]}

    def result(self) -> dict[str, Any]:
        """Return the job's result before the rows exist."""
        return {
            "total": f"{self.totals.total:f}",
            "line_count": len(self.lines),
            "unpriced_count": self.totals.unpriced_count,
        }

    def analytics(self, processing_time_ms: int) -> dict[str, Any]:
        """Return the event `estimate_generated`."""
        properties = {
            "visit_id": str(self.visit_id),
            "processing_time_ms": processing_time_ms,
            "line_count": len(self.lines),
            "evidence_count": sum(len(line.evidence) for line in self.lines),
            "ai_model": f"{self.draft.engine}:{self.draft.model}",
        }
        return {"event": "estimate_generated", "properties": properties}

    def _estimate(self) -> NewEstimate:
        return NewEstimate(
            tenant_id=self.tenant_id,
            visit_id=self.visit_id,
            job_id=self.job_id,
            engine=self.draft.engine,
            model=self.draft.model,
            summary=self.draft.summary,
            coverage=list(self.coverage),
            usage=usage_of(self.calls),
            currency=self.terms.currency,
            tax_rate=self.terms.tax_rate,
            lines=[_new_line(line) for line in self.lines],
        )


@dataclass(frozen=True, slots=True)
class FoundInMedium:
    """The result for one recording or photo; it is kept at once, even if the estimate fails."""

    tenant_id: UUID
    visit_id: UUID
    media_id: UUID
    transcript: Transcript | None = None
    problem: str | None = None

    async def write(self, conn: Connection) -> None:
        """Write the transcript and the parts lost of it, or why the medium cannot be used."""
        if self.problem is not None:
            await transcripts.mark_unusable(conn, self.media_id, self.problem)
        if self.transcript is None:
            return
        await transcripts.save(conn, self._row(self.transcript))
        note = note_on_loss(self.transcript.lost_ms / 1000)
        if note is not None:
            await transcripts.add_note(conn, self.media_id, note)

    def _row(self, transcript: Transcript) -> TranscriptRow:
        plain = transcript.as_json()
        return TranscriptRow(
            media_id=self.media_id,
            tenant_id=self.tenant_id,
            visit_id=self.visit_id,
            text=transcript.text,
            language=transcript.language,
            duration_ms=transcript.duration_ms,
            segments=plain["segments"],
            words=plain["words"],
            engine=transcript.engine,
            model=transcript.model,
        )


def usage_of(calls: Sequence[ModelCall]) -> dict[str, Any]:
    """Add up model calls; `cost` is None when no call knew its own."""
    costs = [call.cost for call in calls if call.cost is not None]
    return {
        "calls": [call.as_json() for call in calls],
        "input_tokens": sum(call.input_tokens for call in calls),
        "output_tokens": sum(call.output_tokens for call in calls),
        "audio_seconds": round(sum(call.audio_seconds for call in calls), 3),
        "cost": f"{sum(costs, Decimal(0)):f}" if costs else None,
    }


def _new_line(line: PricedLine) -> NewLine:
    return NewLine(
        description=line.description,
        quantity=line.quantity,
        unit=line.unit,
        unit_price=line.unit_price,
        category=line.category,
        price_item_id=line.price_item_id,
        match=line.match.as_json() if line.match else None,
        evidence=[evidence.as_json() for evidence in line.evidence],
        assumptions=line.assumptions,
        confidence=line.confidence,
        needs_review=line.needs_review,
        review_reasons=line.review_reasons,
    )

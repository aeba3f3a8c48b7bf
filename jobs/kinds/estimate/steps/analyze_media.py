"""Hears each recording and looks at each photo, one by one, with a checkpoint after each.

A rescued job goes on behind its last checkpoint, so it repeats at most one model call. One file that cannot be used
is that file's problem; a model that fails is the job's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from jobs.kinds.estimate.engines.base import Clip, Photo
from jobs.kinds.estimate.errors import Refused, UnusableMedium
from jobs.kinds.estimate.model import Heard, ModelCall, Seen, Value
from jobs.kinds.estimate.steps.saving import FoundInMedium
from jobs.kinds.estimate.steps.steps import Step, step
from store.errors import NotFound, TooLarge
from store.media.decoder.audio import note_on_loss

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from jobs.kinds.estimate.budget import Budget
    from jobs.kinds.estimate.engines.base import Engine
    from jobs.kinds.estimate.material import FetchBytes, Medium
    from jobs.kinds.estimate.model import Observations, Transcript
    from jobs.kinds.estimate.steps.gather import Gathered
    from jobs.queue.context import JobContext

_REFUSED = "The model declined to work on it. Say in the notes what it shows or tells."
_GONE = "The file is not in the store any more. Upload it again."

Result = TypeVar("Result", bound=Value)


@dataclass(slots=True)
class Findings:
    """The results of the media; `problems` are new ones, in plain words."""

    transcripts: dict[UUID, Transcript] = field(default_factory=dict)
    observations: dict[UUID, Observations] = field(default_factory=dict)
    problems: dict[UUID, str] = field(default_factory=dict)
    calls: list[ModelCall] = field(default_factory=list)

    @property
    def notes(self) -> dict[UUID, str]:
        """The parts of each recording lost on the way to its transcript, in plain words."""
        told = {media_id: note_on_loss(heard.lost_ms / 1000) for media_id, heard in self.transcripts.items()}
        return {media_id: note for media_id, note in told.items() if note}


@dataclass(frozen=True, slots=True)
class MediaWork:
    """One attempt's way through the media of one visit."""

    ctx: JobContext
    engine: Engine
    fetch: FetchBytes
    gathered: Gathered
    budget: Budget

    async def run(self) -> Findings:
        """Do the steps transcribe and look."""
        findings = Findings()
        material = self.gathered.material
        async with step(self.ctx, Step.TRANSCRIBE, len(material.recordings)) as progress:
            for medium in material.recordings:
                await self._hear(medium, findings)
                await progress.advance(str(medium.media_id))
        async with step(self.ctx, Step.LOOK, len(material.photos)) as progress:
            for medium in material.photos:
                await self._look(medium, findings)
                await progress.advance(str(medium.media_id))
        return findings

    async def _hear(self, medium: Medium, findings: Findings) -> None:
        if not await self._is_done(Step.TRANSCRIBE, medium):
            if medium.problem:
                return
            known = self.gathered.known.get(medium.media_id)
            if known and (known.engine, known.model) == (self.engine.name, self.engine.speech_model):
                findings.transcripts[medium.media_id] = known
                return
        heard = await self._once(Step.TRANSCRIBE, medium, Heard, findings, self._transcribe)
        if heard is not None:
            findings.transcripts[medium.media_id] = heard.transcript

    async def _look(self, medium: Medium, findings: Findings) -> None:
        if medium.problem and not await self._is_done(Step.LOOK, medium):
            return
        seen = await self._once(Step.LOOK, medium, Seen, findings, self._see)
        if seen is not None:
            findings.observations[medium.media_id] = seen.observations

    async def _is_done(self, which: Step, medium: Medium) -> bool:
        """Whether an earlier attempt at this job did it: then its calls are part of what the estimate cost."""
        return await self.ctx.checkpoint_get(which, str(medium.media_id)) is not None

    async def _once(
        self,
        which: Step,
        medium: Medium,
        kind: type[Result],
        findings: Findings,
        work: Callable[[Medium], Awaitable[Result]],
    ) -> Result | None:
        """Do the work unless an earlier attempt did; None when the file turned out to be unusable."""
        self.ctx.raise_if_cancelled()
        key = str(medium.media_id)
        kept = await self.ctx.checkpoint_get(which, key)
        if kept is None:
            self.budget.require()
            kept = await self._outcome(medium, work)
            self.budget.spend(_calls(kept))
            await self.ctx.checkpoint_put(which, key, kept, self._found(medium, kind, kept).write)
        pieces = [await self.ctx.checkpoint_get(which, _piece_key(medium, name)) for name in kept.get("pieces", ())]
        findings.calls += (call for one in (kept, *pieces) for call in _calls(one))
        if "problem" in kept:
            findings.problems[medium.media_id] = kept["problem"]
            return None
        return kind.model_validate(kept)

    def _found(self, medium: Medium, kind: type[Value], kept: dict[str, Any]) -> FoundInMedium:
        place = (self.ctx.tenant_id, self.ctx.visit_id, medium.media_id)
        if "problem" in kept:
            return FoundInMedium(*place, problem=kept["problem"])
        return FoundInMedium(*place, transcript=Heard.model_validate(kept).transcript if kind is Heard else None)

    async def _outcome(self, medium: Medium, work: Callable[[Medium], Awaitable[Value]]) -> dict[str, Any]:
        try:
            return (await work(medium)).as_json()
        except (UnusableMedium, Refused) as error:
            return {
                "problem": _REFUSED if isinstance(error, Refused) else str(error),
                "calls": [call.as_json() for call in error.calls],
                "pieces": error.pieces,
            }
        except (NotFound, TooLarge):
            return {"problem": _GONE}

    async def _transcribe(self, medium: Medium) -> Heard:
        pieces: list[str] = []

        async def once(name: str, hear: Callable[[], Awaitable[Heard]]) -> Heard:
            heard = await self._piece(_piece_key(medium, name), hear)
            pieces.append(name)
            return heard

        try:
            return await self.engine.transcribe(Clip(medium, await self.fetch(medium)), once)
        except (UnusableMedium, Refused) as error:
            error.pieces = tuple(pieces)
            raise

    async def _piece(self, key: str, hear: Callable[[], Awaitable[Heard]]) -> Heard:
        """Hear one piece of a long recording unless an earlier attempt did; it may be minutes and cents of its own."""
        kept = await self.ctx.checkpoint_get(Step.TRANSCRIBE, key)
        if kept is not None:
            return Heard.model_validate(kept)
        self.ctx.raise_if_cancelled()
        self.budget.require()
        heard = await hear()
        self.budget.spend(heard.calls)
        await self.ctx.checkpoint_put(Step.TRANSCRIBE, key, heard.as_json())
        return heard

    async def _see(self, medium: Medium) -> Seen:
        return await self.engine.look(Photo(medium, await self.fetch(medium)))


def _piece_key(medium: Medium, name: str) -> str:
    return f"{medium.media_id}/{name}"


def _calls(kept: dict[str, Any] | None) -> list[ModelCall]:
    return [ModelCall.model_validate(call) for call in (kept or {}).get("calls", ())]

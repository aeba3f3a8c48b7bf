"""The whole job on real PostgreSQL and S3, through the queue's own fenced run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from jobs.kinds.estimate.book.book import EMPTY, Book
from jobs.kinds.estimate.budget import NO_LIMITS, Limits
from jobs.kinds.estimate.engines.base import Clip, Engine, Once, Photo, Show, every_time, show_nobody
from jobs.kinds.estimate.engines.cost import read_prices
from jobs.kinds.estimate.engines.local.engine import LocalEngine
from jobs.kinds.estimate.engines.transcripts import joined
from jobs.kinds.estimate.errors import MalformedAnswer, NothingToEstimate, OverBudget, Refused, Transient
from jobs.kinds.estimate.material import Material, Medium
from jobs.kinds.estimate.model import (
    Draft,
    Drafted,
    DraftLine,
    Evidence,
    Heard,
    ModelCall,
    Observations,
    Seen,
    Sight,
    Transcript,
)
from jobs.kinds.estimate.pipeline import Pipeline
from jobs.kinds.estimate.steps.steps import Step
from jobs.queue.errors import JobCancelled, LeaseLost
from jobs.worker.attempts.attempt import JobAttempt, StopReason
from store.estimates import estimates
from store.media import transcripts
from store.media.transcripts import TranscriptRow
from store.objects.objects import ObjectStore
from store.pool import Connection, Database
from store.queue import jobs, spending
from tests.jobs.kinds.estimate.engines.api_double import api_double, completed
from tests.jobs.kinds.estimate.engines.test_openai import asked_line, draft_answer, jpeg, open_engine
from tests.jobs.kinds.estimate.material import transcript
from tests.tenants import Tenant

# Of one call of the API double, at the prices these tests give.
COST = Decimal("0.006860")
NOTES = "Replace three GFCI outlets in the kitchen. Install two trapezes."


@dataclass
class ScriptedEngine:
    """Hears and sees what it is told to, counts its calls, and fails where the script says."""

    name: str = "openai"
    model: str = "scripted"
    speech_model: str = "scripted-ear"
    calls: list[str] = field(default_factory=list)
    fail_on: set[str] = field(default_factory=set)
    refuse: str = ""
    nothing: bool = False
    cost: Decimal | None = None

    async def load(self) -> None:
        """Nothing to load."""

    async def transcribe(self, clip: Clip, once: Once = every_time) -> Heard:
        """Hear the bytes as text, piece by piece where a "|" parts them."""
        texts = clip.content.decode().split("|")
        if len(texts) == 1:
            return await self._hear(texts[0], clip.medium)
        names = [f"{n}+{len(text)}" for n, text in enumerate(texts)]
        heard = [
            await once(name, partial(self._hear, text, clip.medium)) for name, text in zip(names, texts, strict=True)
        ]
        return Heard(transcript=joined([(n, piece.transcript) for n, piece in enumerate(heard)]), pieces=tuple(names))

    async def _hear(self, text: str, medium: Medium) -> Heard:
        self._call(text)
        heard = transcript(text, medium.media_id)
        heard = heard.model_copy(update={"engine": self.name, "model": self.speech_model})
        return Heard(transcript=heard, calls=(self._paid("transcribe"),))

    async def look(self, photo: Photo) -> Seen:
        """See what the bytes say."""
        self._call(photo.content.decode())
        sights = (Sight(what=photo.content.decode()),)
        seen = Observations(media_id=photo.medium.media_id, analysed=True, sights=sights)
        return Seen(observations=seen, calls=(self._paid("look"),))

    async def draft(
        self,
        material: Material,  # noqa: ARG002 - the protocol's
        transcripts: Sequence[Transcript],  # noqa: ARG002
        observations: Mapping[UUID, Observations],
        show: Show = show_nobody,
        book: Book = EMPTY,  # noqa: ARG002
    ) -> Drafted:
        """Draft one line a photo, and show the first at once."""
        self._call("draft")
        lines = tuple(
            DraftLine(
                description=f"Replace {seen.sights[0].what}",
                quantity=Decimal(1),
                unit="each",
                evidence=(Evidence(source="photo", media_id=media_id),),
            )
            for media_id, seen in observations.items()
        )
        for line in lines[:1]:
            await show(line)
        draft = Draft(lines=() if self.nothing else lines, summary="", engine=self.name, model=self.model)
        return Drafted(draft=draft, calls=(self._paid("draft"),))

    async def aclose(self) -> None:
        """Hold nothing."""

    def _call(self, what: str) -> None:
        self.calls.append(what)
        if what in self.fail_on:
            self.fail_on.discard(what)
            raise Transient("The model's provider had a fault.")
        if what == self.refuse:
            raise Refused("The model declined to answer.")

    def _paid(self, purpose: Any) -> ModelCall:
        return ModelCall(
            purpose=purpose, engine=self.name, model=self.model, input_tokens=10, output_tokens=2, cost=self.cost
        )


@dataclass
class Site:
    """One visit, its job, and hands to fill and run it."""

    admin: Connection
    service: Database
    objects: ObjectStore
    tenant: Tenant
    visit_id: UUID
    job_id: UUID = field(default_factory=uuid4)

    async def add(self, kind: str, content: bytes | None, *, label: str = "", content_type: str | None = None) -> UUID:
        """Store a medium; without content its object is missing."""
        media_id = uuid4()
        path = f"{self.tenant.id}/{self.visit_id}/{media_id}/{uuid4().hex[:12]}"
        content_type = content_type or ("image/jpeg" if kind == "photo" else "audio/webm")
        if content is not None:
            await self.objects.put(path, content, content_type=content_type)
        await self.admin.execute(
            "INSERT INTO site_visit_media (id, tenant_id, visit_id, media_type, content_type, storage_path, file_size, "
            "sha256, label) VALUES ($1, $2, $3, $4, $5, $6, 1, repeat('0', 64), $7)",
            *(media_id, self.tenant.id, self.visit_id, kind, content_type, path, label),
        )
        return media_id

    async def attempt(self) -> JobAttempt:
        """Take the job as a worker does: running, with a new lease."""
        row = await self.admin.fetchrow(
            "INSERT INTO ai_jobs (id, tenant_id, visit_id, job_type, status, attempts, lease_token, lease_expires_at, "
            "started_at) VALUES ($1, $2, $3, 'estimate', 'running', 1, gen_random_uuid(), now() + interval '5 min', "
            "now()) ON CONFLICT (id) DO UPDATE SET lease_token = gen_random_uuid(), attempts = ai_jobs.attempts + 1 "
            "RETURNING *",
            *(self.job_id, self.tenant.id, self.visit_id),
        )
        assert row is not None
        return JobAttempt(self.service, row, math.inf)

    def pipeline(self, engine: Engine, limits: Limits = NO_LIMITS) -> Pipeline:
        """Build the pipeline over the real store."""

        async def fetch(medium: Medium) -> bytes:
            return await self.objects.get(medium.storage_path)

        return Pipeline(self.service, engine, fetch, limits)

    async def run(self, engine: Engine, limits: Limits = NO_LIMITS) -> None:
        """Run one attempt to its end."""
        run = await self.attempt()
        try:
            await self.pipeline(engine, limits).run(run)
        finally:
            await run.close()

    async def estimate(self) -> dict[str, Any] | None:
        """Read the newest estimate."""
        return await estimates.latest_for_visit(self.admin, self.visit_id)

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Read what the subscribers were told."""
        rows = await self.admin.fetch(
            "SELECT type, payload FROM processing_events WHERE visit_id = $1 ORDER BY seq", self.visit_id
        )
        return [(row["type"], row["payload"]) for row in rows]


@pytest.fixture
async def site(admin: Connection, service: Database, objects: ObjectStore, tenant: Tenant) -> Site:
    """Open a visit with typed notes."""
    visit_id: UUID = await admin.fetchval(
        "INSERT INTO site_visits (tenant_id, title, notes) VALUES ($1, 'Kitchen', $2) RETURNING id", tenant.id, NOTES
    )
    return Site(admin, service, objects, tenant, visit_id)


@pytest.fixture
async def bare(site: Site) -> Site:
    """Take the notes away."""
    await site.admin.execute("UPDATE site_visits SET notes = '' WHERE id = $1", site.visit_id)
    return site


async def test_notes_and_labels_become_a_priced_estimate(site: Site) -> None:
    """The local engine reads, prices what the book has, leaves the rest unpriced, and says what it did not see."""
    photo = await site.add("photo", jpeg(), label="install 2 GFCI outlets in the garage")
    engine = LocalEngine()
    await site.run(engine)
    await engine.aclose()
    estimate = await site.estimate()
    assert estimate is not None
    assert [(line["description"], line["amount"]) for line in estimate["lines"]] == [
        ("Replace GFCI outlets in the kitchen", Decimal("435.00")),
        ("Install trapezes", None),
        ("Install GFCI outlets in the garage", Decimal("290.00")),
    ]
    assert (estimate["engine"], estimate["unpriced_count"], estimate["version"]) == ("local", 1, 1)
    assert (estimate["subtotal"], estimate["tax"], estimate["total"]) == (
        Decimal("725.00"),
        Decimal("59.81"),
        Decimal("784.81"),
    )
    assert estimate["coverage"] == ["1 photo was not analysed; only typed labels and print were read."]
    assert estimate["lines"][2]["evidence"][0]["media_id"] == str(photo)
    assert [line["needs_review"] for line in estimate["lines"]] == [False, True, False]


async def test_every_step_is_told_in_order(site: Site) -> None:
    """Subscribers see each step start, move and end, and the lines as they are drafted."""
    engine = ScriptedEngine()
    for what in (b"outlet", b"door"):
        await site.add("photo", what)
    await site.run(engine)
    events = await site.events()
    started = [payload["step"] for kind, payload in events if kind == "step.started"]
    completed = [payload["step"] for kind, payload in events if kind == "step.completed"]
    assert started == completed == [step.value for step in Step]
    looks = [payload for kind, payload in events if kind == "step.progress" and payload["step"] == "look"]
    assert [(payload["done"], payload["total"]) for payload in looks] == [(1, 2), (2, 2)]
    drafted = [payload for kind, payload in events if kind == "line.drafted"]
    assert drafted == [
        {"description": "Replace outlet", "quantity": "1", "unit": "each"},
        {"description": "Replace door", "quantity": "1", "unit": "each"},
    ]
    assert events[-1][0] == "job.completed"


async def test_the_result_and_the_analytics_are_written_with_the_estimate(site: Site) -> None:
    """One commit holds estimate, result, final event and `estimate_generated`."""
    await site.add("photo", b"outlet")
    await site.run(ScriptedEngine())
    estimate = await site.estimate()
    assert estimate is not None
    result = {
        "estimate_id": str(estimate["id"]),
        "version": 1,
        "total": f"{estimate['total']:f}",
        "line_count": 1,
        "unpriced_count": 0,
    }
    assert (await site.events())[-1] == ("job.completed", result | {"correlation_id": str(site.job_id)})
    row = await site.admin.fetchrow("SELECT status, result FROM ai_jobs WHERE id = $1", site.job_id)
    assert row is not None
    assert (row["status"], row["result"]) == ("completed", result)
    properties = await site.admin.fetchval(
        "SELECT properties FROM analytics_events WHERE event = 'estimate_generated' AND tenant_id = $1", site.tenant.id
    )
    assert properties.pop("processing_time_ms") >= 0
    assert properties == {
        "visit_id": str(site.visit_id),
        "line_count": 1,
        "evidence_count": 1,
        "ai_model": "openai:scripted",
    }
    assert (estimate["usage"]["input_tokens"], len(estimate["usage"]["calls"])) == (20, 2)


async def test_what_was_heard_is_kept_and_not_paid_for_again(site: Site) -> None:
    """A second estimate of the visit takes the transcript of the first, by the same engine and model."""
    await site.add("photo", b"outlet")
    media_id = await site.add("audio", b"replace two doors")
    engine = ScriptedEngine()
    await site.run(engine)
    (kept,) = await transcripts.of_visit(site.admin, site.visit_id)
    assert (kept["media_id"], kept["text"], len(kept["words"])) == (media_id, "replace two doors", 3)
    again = Site(site.admin, site.service, site.objects, site.tenant, site.visit_id)
    await again.run(engine)
    assert engine.calls.count("replace two doors") == 1
    other = ScriptedEngine(speech_model="better-ear")
    await Site(site.admin, site.service, site.objects, site.tenant, site.visit_id).run(other)
    assert other.calls.count("replace two doors") == 1
    estimate = await site.estimate()
    assert estimate is not None
    assert estimate["version"] == 3


@pytest.mark.parametrize("failing", ["one", "two", "three", "draft"])
async def test_a_rescued_job_repeats_only_the_call_that_failed(site: Site, failing: str) -> None:
    """Whatever an earlier attempt paid for is not paid for again."""
    for what in (b"one", b"two"):
        await site.add("photo", what)
    await site.add("audio", b"three")
    engine = ScriptedEngine(fail_on={failing})
    with pytest.raises(Transient):
        await site.run(engine)
    assert await site.estimate() is None
    await site.run(engine)
    calls = {what: engine.calls.count(what) for what in ("one", "two", "three", "draft")}
    assert calls == {what: 2 if what == failing else 1 for what in calls}
    estimate = await site.estimate()
    assert estimate is not None
    assert len(estimate["usage"]["calls"]) == 4


async def test_a_long_recording_repeats_only_the_piece_that_failed(site: Site) -> None:
    """Each piece is kept as it is heard; every call is in the usage once, and paid for once."""
    await site.add("photo", b"outlet")
    media_id = await site.add("audio", b"one|two|three")
    engine = ScriptedEngine(fail_on={"two"}, cost=Decimal("0.01"))
    with pytest.raises(Transient):
        await site.run(engine)
    await site.run(engine, Limits(per_job=Decimal("0.05")))
    assert [engine.calls.count(what) for what in ("one", "two", "three")] == [1, 2, 1]
    estimate = await site.estimate()
    assert estimate is not None
    assert (len(estimate["usage"]["calls"]), estimate["usage"]["cost"]) == (5, "0.05")
    (kept,) = await transcripts.of_visit(site.admin, site.visit_id)
    assert (kept["media_id"], kept["text"]) == (media_id, "one two three")


async def test_a_long_recording_that_was_heard_is_accounted_for_after_a_rescue(site: Site) -> None:
    """When the draft fails behind it, the next attempt still knows what its pieces cost."""
    await site.add("photo", b"outlet")
    await site.add("audio", b"one|two")
    engine = ScriptedEngine(fail_on={"draft"}, cost=Decimal("0.01"))
    with pytest.raises(Transient):
        await site.run(engine)
    async with site.service.connection() as conn:
        assert (await spending.spent(conn, site.tenant.id, site.job_id)).job == Decimal("0.03")
    await site.run(engine)
    estimate = await site.estimate()
    assert estimate is not None
    assert estimate["usage"]["cost"] == "0.04"


async def test_a_long_recording_whose_last_piece_is_declined_was_paid_for_all_the_same(site: Site) -> None:
    """The pieces before it are in the cost of the estimate, which goes on without the recording."""
    await site.add("photo", b"outlet")
    await site.add("audio", b"one|two|three")
    await site.run(ScriptedEngine(refuse="three", cost=Decimal("0.01")))
    estimate = await site.estimate()
    assert estimate is not None
    assert "The model declined" in estimate["coverage"][0]
    assert estimate["usage"]["cost"] == "0.04"


async def test_what_a_cancelled_job_paid_for_counts_in_the_month(site: Site) -> None:
    """Its checkpoints are gone with it, the money is not."""
    await site.add("photo", b"one")
    await site.add("audio", b"two|three")
    run = await site.attempt()
    with pytest.raises(Transient):
        await site.pipeline(ScriptedEngine(fail_on={"draft"}, cost=Decimal("0.02"))).run(run)
    await run.close()
    await site.admin.execute("UPDATE ai_jobs SET cancel_requested_at = now() WHERE id = $1", site.job_id)
    async with site.service.connection() as conn:
        assert await jobs.finish_cancelled(conn, run.lease) is not None
        assert (await spending.spent(conn, site.tenant.id, site.job_id)).month == Decimal("0.06")
    assert await site.admin.fetchval("SELECT count(*) FROM job_steps WHERE job_id = $1", site.job_id) == 0


async def test_an_answer_that_could_not_be_used_is_paid_for_all_the_same(site: Site) -> None:
    """It counts in the budget at once, and in the cost of the estimate that a later attempt makes."""
    await site.add("photo", jpeg())
    look = completed({"sights": [], "text_read": []})
    with api_double() as api:
        engine = open_engine(api, prices=read_prices(["gpt-test=1.75/14"]))
        api.answers_by_schema = {"LookAnswer": look, "DraftAnswer": completed({"lines": "none"})}
        with pytest.raises(MalformedAnswer):
            await site.run(engine)
        async with site.service.connection() as conn:
            assert (await spending.spent(conn, site.tenant.id, site.job_id)).job == 2 * COST
        api.answers_by_schema["DraftAnswer"] = draft_answer()
        await site.run(engine)
        await engine.aclose()
    estimate = await site.estimate()
    assert estimate is not None
    assert estimate["usage"]["cost"] == f"{3 * COST:f}"


async def test_what_was_paid_in_vain_before_a_redrive_is_part_of_the_cost(site: Site) -> None:
    """A redrive counts attempts anew; every answer that could not be used still counts, once."""
    await site.add("photo", jpeg())
    with api_double() as api:
        engine = open_engine(api, prices=read_prices(["gpt-test=1.75/14"]))
        look = completed({"sights": [], "text_read": []})
        api.answers_by_schema = {"LookAnswer": look, "DraftAnswer": completed({"lines": "none"})}
        for attempts in (0, 1, 0, 1):
            await site.admin.execute("UPDATE ai_jobs SET attempts = $2 WHERE id = $1", site.job_id, attempts)
            with pytest.raises(MalformedAnswer):
                await site.run(engine)
        async with site.service.connection() as conn:
            assert (await spending.spent(conn, site.tenant.id, site.job_id)).month == 5 * COST
        api.answers_by_schema["DraftAnswer"] = draft_answer()
        await site.admin.execute("UPDATE ai_jobs SET attempts = 0 WHERE id = $1", site.job_id)
        await site.run(engine)
        await engine.aclose()
    estimate = await site.estimate()
    assert estimate is not None
    assert estimate["usage"]["cost"] == f"{6 * COST:f}"


async def test_a_photo_the_model_declines_is_paid_for_and_named(site: Site) -> None:
    """A refusal costs tokens; the visit goes on without the photo."""
    await site.add("photo", jpeg())
    refusal = [{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]
    with api_double() as api:
        engine = open_engine(api, prices=read_prices(["gpt-test=1.75/14"]))
        api.answers_by_schema = {"LookAnswer": completed("", output=refusal), "DraftAnswer": draft_answer()}
        await site.run(engine)
        await engine.aclose()
    estimate = await site.estimate()
    assert estimate is not None
    assert "The model declined" in estimate["coverage"][0]
    assert estimate["usage"]["cost"] == f"{2 * COST:f}"


@pytest.mark.parametrize(("limits", "said"), [
    (Limits(per_job=Decimal("0.03")), "This estimate has used 0.04 USD"),
    (Limits(per_month=Decimal("0.03")), "Your company has used 0.04 USD"),
])  # fmt: skip
async def test_a_job_stops_before_the_call_that_its_budget_does_not_hold(site: Site, limits: Limits, said: str) -> None:
    """Two calls of 2 cents are made, the third is refused in words; what was paid for stays kept."""
    for what in (b"one", b"two", b"three"):
        await site.add("photo", what)
    engine = ScriptedEngine(cost=Decimal("0.02"))
    with pytest.raises(OverBudget, match=said) as caught:
        await site.run(engine, limits)
    assert (engine.calls, caught.value.retryable) == (["one", "two"], False)
    await site.run(engine)
    assert engine.calls == ["one", "two", "three", "draft"]


async def test_a_tenants_own_budget_comes_before_the_setting(site: Site) -> None:
    """Who may spend more, spends more; what another job of this month cost counts."""
    await site.add("photo", b"one")
    await site.run(ScriptedEngine(cost=Decimal("0.02")))
    await site.admin.execute("UPDATE tenant_settings SET model_budget = 0.04 WHERE tenant_id = $1", site.tenant.id)
    again = Site(site.admin, site.service, site.objects, site.tenant, site.visit_id)
    with pytest.raises(OverBudget, match=r"may use 0\.04"):
        await again.run(ScriptedEngine(cost=Decimal("0.02")), Limits(per_month=Decimal("0.01")))


async def test_a_worker_that_lost_its_job_saves_nothing(site: Site) -> None:
    """When another worker has the lease, this one stops; the other goes on behind its checkpoints."""
    await site.add("photo", b"one")
    engine = ScriptedEngine()
    first = await site.attempt()
    second = await site.attempt()
    with pytest.raises(LeaseLost):
        await site.pipeline(engine).run(first)
    await first.close()
    assert await site.estimate() is None
    await site.pipeline(engine).run(second)
    await second.close()
    assert await site.estimate() is not None


async def test_a_cancelled_job_stops_before_the_next_call(site: Site) -> None:
    """Nothing more is paid for, and nothing is saved."""
    await site.add("photo", b"one")
    engine = ScriptedEngine()
    run = await site.attempt()
    run.stop(StopReason.CANCELLED)
    with pytest.raises(JobCancelled):
        await site.pipeline(engine).run(run)
    await run.close()
    assert engine.calls == []
    assert await site.estimate() is None


async def test_loss_in_a_recording_is_told_in_seconds(site: Site, spoken_note: bytes) -> None:
    """What hearing could not decode stands in the coverage and on the recording."""
    damaged = bytearray(spoken_note)
    damaged[len(damaged) // 2 : len(damaged) // 2 + 400] = bytes(400)
    recording = await site.add("audio", bytes(damaged))
    engine = LocalEngine()
    await site.run(engine)
    await engine.aclose()
    estimate = await site.estimate()
    assert estimate is not None
    (told,) = [note for note in estimate["coverage"] if note.startswith("Recording 1: ")]
    assert "s of this recording are damaged or missing" in told
    note = await site.admin.fetchval("SELECT note FROM site_visit_media WHERE id = $1", recording)
    assert told == f"Recording 1: {note}"


async def test_what_was_heard_is_kept_when_the_estimate_fails(site: Site) -> None:
    """The draft is refused; the transcript stays, and so does the reason why another recording has none."""
    recording, broken = await site.add("audio", b"one"), await site.add("audio", None)
    with pytest.raises(Refused):
        await site.run(ScriptedEngine(refuse="draft"))
    assert await site.estimate() is None
    text = await site.admin.fetchval("SELECT text FROM transcripts WHERE media_id = $1", recording)
    problem = await site.admin.fetchval("SELECT problem FROM site_visit_media WHERE id = $1", broken)
    assert (text, "not in the store" in problem) == ("one", True)


async def test_one_unusable_medium_does_not_stop_the_visit(site: Site) -> None:
    """A recording that cannot be played and one whose object is gone are named; the estimate is made."""
    broken = await site.add("audio", b"this is no audio")
    gone = await site.add("audio", None)
    engine = LocalEngine()
    await site.run(engine)
    await engine.aclose()
    estimate = await site.estimate()
    assert estimate is not None
    coverage = " ".join(estimate["coverage"])
    assert "Recording 1 could not be used: This recording cannot be played" in coverage
    assert "Recording 2 could not be used: The file is not in the store" in coverage
    rows = await site.admin.fetch("SELECT status, problem FROM site_visit_media WHERE id = ANY($1)", [broken, gone])
    assert {row["status"] for row in rows} == {"needs_attention"}
    assert all(row["problem"] for row in rows)


async def test_nothing_to_price_is_said_plainly(bare: Site) -> None:
    """No empty estimate is saved; the sentence tells what was missing and what to do."""
    await bare.add("photo", jpeg())
    engine = LocalEngine()
    with pytest.raises(NothingToEstimate, match="Nothing to price was found") as caught:
        await bare.run(engine)
    assert "1 photo was not analysed" in str(caught.value)
    assert caught.value.retryable is False
    assert await bare.estimate() is None


async def test_a_silent_recording_is_no_success(bare: Site) -> None:
    """A recording in which nothing was heard ends as nothing to estimate, and says so."""
    await bare.add("audio", b" ")
    with pytest.raises(NothingToEstimate, match="Nothing was heard in 1 recording"):
        await bare.run(ScriptedEngine(nothing=True))


async def test_a_saved_transcript_is_read_by_the_local_engine(bare: Site, heard_note: Heard) -> None:
    """What was really spoken becomes priced lines whose evidence plays the right second."""
    media_id = await bare.add("audio", b"not fetched again")
    await save_transcript(bare, media_id, heard_note.transcript)
    engine = LocalEngine()
    await bare.run(engine)
    estimate = await bare.estimate()
    assert estimate is not None
    outlets = next(line for line in estimate["lines"] if "GFCI" in line["description"])
    assert (outlets["quantity"], outlets["amount"]) == ("3", Decimal("435.00"))
    (proof,) = outlets["evidence"]
    assert proof["media_id"] == str(media_id)
    assert 0 < proof["start_ms"] < proof["end_ms"] <= heard_note.transcript.duration_ms


async def test_openai_looks_drafts_and_is_checked(site: Site) -> None:
    """Over HTTP: photos are seen, the draft is checked against the material, and false evidence is flagged."""
    await site.add("photo", jpeg(), label="the wall")
    true = {
        "source": "label",
        "medium": "photo-1",
        "quote": "the wall",
        "start_ms": None,
        "end_ms": None,
        "region": None,
    }
    false = true | {"quote": "free of charge"}
    lines = [
        asked_line(description="Paint wall", quantity=100, unit="sq ft", evidence=[true]),
        asked_line(description="Install GFCI outlet", quantity=1, evidence=[false]),
    ]
    with api_double() as api:
        engine = open_engine(api)
        both = {"lines": lines, "summary": "Two lines.", "coverage": ["The attic was not shown."]}
        api.answers_by_schema = {
            "LookAnswer": completed({"sights": [], "text_read": []}),
            "DraftAnswer": completed(both),
        }
        await site.run(engine)
        await engine.aclose()
    estimate = await site.estimate()
    assert estimate is not None
    assert (estimate["engine"], estimate["model"]) == ("openai", "gpt-test")
    told, *passed_over = estimate["coverage"]
    assert told == "The attic was not shown."
    assert all(note.startswith("Not used by the estimate") for note in passed_over)
    assert any("Replace three GFCI outlets" in note for note in passed_over)
    assert [(len(line["evidence"]), line["needs_review"]) for line in estimate["lines"]] == [(1, True), (0, True)]
    assert estimate["lines"][0]["match"]["name"] == "Interior wall paint, two coats"
    assert (estimate["usage"]["input_tokens"], len(estimate["usage"]["calls"])) == (2400, 2)


async def save_transcript(site: Site, media_id: UUID, heard: Transcript) -> None:
    """Store what was heard before."""
    plain = heard.as_json()
    row = TranscriptRow(
        media_id=media_id,
        tenant_id=site.tenant.id,
        visit_id=site.visit_id,
        text=heard.text,
        language="en",
        duration_ms=heard.duration_ms,
        segments=plain["segments"],
        words=plain["words"],
        engine=heard.engine,
        model=heard.model,
    )
    await transcripts.save(site.admin, row)

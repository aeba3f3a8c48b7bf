"""Jobs over HTTP: ask for an estimate, see where it stands, stop it; and the runbook's trigger."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.flags import Flag
from config.logging import correlation_id
from gateway.auth.auth import admit, require_flag
from gateway.auth.idempotency import idempotent
from gateway.context import context_of
from gateway.http.body import json_response, read_json, uuid_param
from gateway.http.input.paging import read_page
from gateway.http.input.query import choice_params
from gateway.visits.queue_trigger import process_queue
from store.errors import Unprocessable
from store.queue import jobs

# As the policy of jobs has it: a tenant may put its own jobs behind others, never before them.
LOWEST_PRIORITY, HIGHEST_PRIORITY = -10, 0
JOB_STATUSES = ("queued", "running", "completed", "failed", "cancelled")
FARTHEST = timedelta(days=90)


def _soon_enough(run_at: datetime) -> datetime:
    try:
        moment = run_at.astimezone(UTC)
    except OverflowError:  # 0001-01-01T00:00:00+14:00 lies before the first moment there is in UTC
        raise ValueError("must be a time between the years 1 and 9999 in UTC") from None
    if moment > datetime.now(UTC) + FARTHEST:
        raise ValueError(f"must be within {FARTHEST.days} days from now")
    return moment


class EstimateRequest(BaseModel):
    """When, and how urgently: the material of the estimate lies with the visit."""

    model_config = ConfigDict(extra="forbid")

    run_at: Annotated[AwareDatetime, AfterValidator(_soon_enough)] | None = None
    priority: int = Field(default=0, strict=True, ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)


async def request_estimate(request: Request) -> Response:
    """Queue the visit's estimate, for now or for later; the same Idempotency-Key gives the first job again."""
    principal = await admit(request)
    await require_flag(request, principal, Flag.ESTIMATION)
    visit_id = uuid_param(request.path_params["visit_id"], "visit_id")
    asked = await read_json(request, EstimateRequest)
    context = context_of(request)
    async with context.db.as_user(principal.claims) as conn:
        if not await jobs.has_material(conn, visit_id):
            detail = "There is nothing to estimate yet: add a photo, a voice note or written notes."
            raise Unprocessable(detail, code="nothing_to_estimate")
        job, created = await context.queue.enqueue(
            conn,
            tenant_id=principal.tenant_id,
            visit_id=visit_id,
            correlation_id=correlation_id(),
            created_by=principal.user_id,
            priority=asked.priority,
            run_at=asked.run_at,
        )
    answer = json_response(job, 202, {"location": f"/v1/jobs/{job['id']}"})
    # Once the answer is on its way the row is committed, whichever transaction it is in: then a worker can find it.
    answer.background = BackgroundTask(context.queue.ring) if created else None
    return answer


async def list_jobs(request: Request) -> Response:
    """Answer {jobs: [...], has_more, next}, newest first."""
    principal = await admit(request)
    page = read_page(request, datetime.fromisoformat, UUID)
    asked = request.query_params.get("visit_id")
    visit_id = None if asked is None else uuid_param(asked, "visit_id")
    statuses = choice_params(request, "status", JOB_STATUSES)
    async with context_of(request).db.as_user(principal.claims) as conn:
        rows = await jobs.listed(conn, page.reach, page.after, visit_id=visit_id, statuses=statuses)
    return json_response(page.answer("jobs", rows, lambda job: (job["created_at"], job["id"])))


async def read(request: Request) -> Response:
    """Answer where a job stands."""
    principal, job_id = await admit(request), _job_id(request)
    context = context_of(request)
    async with context.db.as_user(principal.claims) as conn:
        job = await context.queue.status(conn, job_id)
    return json_response(job)


async def cancel(request: Request) -> Response:
    """Cancel a queued job or ask a running one to stop; one that is over stays as it is."""
    principal, job_id = await admit(request), _job_id(request)
    context = context_of(request)
    async with context.db.as_user(principal.claims) as conn:
        job = await context.queue.cancel(conn, job_id)
    return json_response(job, 202, {"location": f"/v1/jobs/{job_id}"})


def _job_id(request: Request) -> UUID:
    return uuid_param(request.path_params["job_id"], "job_id")


routes = [
    Route("/v1/visits/{visit_id}/estimate", idempotent(request_estimate), methods=["POST"]),
    Route("/v1/jobs", list_jobs, methods=["GET"]),
    Route("/v1/jobs/{job_id}", read, methods=["GET"]),
    Route("/v1/jobs/{job_id}/cancel", cancel, methods=["POST"]),
    Route("/functions/v1/queue-processor", process_queue, methods=["POST"]),
]

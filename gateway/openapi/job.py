"""A job as answers and events show it."""

from typing import Literal
from uuid import UUID

from pydantic import ConfigDict

from gateway.openapi.operation import Shape
from gateway.openapi.values import Moment, absent


class JobResult(Shape):
    """The result of a completed job."""

    model_config = ConfigDict(extra="allow")

    estimate_id: UUID = absent("The estimate that was made.")
    version: int = absent("Its version.")


class Job(Shape):
    """Where a job stands; `message` says it in plain words."""

    id: UUID
    visit_id: UUID
    job_type: str
    status: Literal["queued", "running", "completed", "failed", "cancelled"]
    attempts: int
    max_attempts: int
    position: int | None
    run_at: Moment | None
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    last_error: str | None
    error_code: str | None
    result: JobResult | None
    cancel_requested: bool
    correlation_id: str | None
    stalled: Literal["no_worker", "paused", "worker_silent"] | None
    message: str

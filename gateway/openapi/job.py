"""A job as answers and events show it."""

from typing import Any, Literal
from uuid import UUID

from gateway.openapi.operation import Shape
from gateway.openapi.values import Moment


class Job(Shape):
    """Where a job stands; `message` says it in plain words."""

    id: UUID
    visit_id: UUID
    job_type: str
    status: str
    attempts: int
    max_attempts: int
    position: int | None
    run_at: Moment | None
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    last_error: str | None
    error_code: str | None
    result: dict[str, Any] | None
    cancel_requested: bool
    correlation_id: str | None
    stalled: Literal["no_worker", "paused", "worker_silent"] | None
    message: str

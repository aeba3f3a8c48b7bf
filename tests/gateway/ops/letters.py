"""Dead jobs, made without having to die."""

from typing import Any
from uuid import UUID, uuid4

from tests.tenants import Tenant

CAUSE = "The model did not answer within 120 s."


async def bury(
    admin: Any, tenant: Tenant, *, code: str = "engine_unavailable", error: str = CAUSE
) -> tuple[UUID, UUID]:
    """Lay a dead job of a new visit into the dead letters; returns the letter's id and the job's."""
    job_id = uuid4()
    visit_id = await admin.fetchval(
        "INSERT INTO site_visits (tenant_id, notes) VALUES ($1, 'Replace two doors.') RETURNING id", tenant.id
    )
    letter = await admin.fetchval(
        "INSERT INTO ai_jobs_dlq (original_job_id, tenant_id, visit_id, job_type, last_error, error_code, attempts) "
        "VALUES ($1, $2, $3, 'estimate', $4, $5, 3) RETURNING id",
        job_id,
        tenant.id,
        visit_id,
        error,
        code,
    )
    return letter, job_id

"""Spending on model calls by a tenant this month, and by one job so far, as the jobs themselves have kept it."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from store.pool import Connection
from store.queries import Queries

SQL = Queries("queue/spending")


@dataclass(frozen=True)
class Spent:
    """USD; `month_limit` is the tenant's own, None where it has none."""

    job: Decimal
    month: Decimal
    month_limit: Decimal | None


async def spent(conn: Connection, tenant_id: UUID, job_id: UUID) -> Spent:
    """Add up the costs of the tenant's jobs since the month began, failed and cancelled ones too."""
    row = await conn.fetchrow(SQL.spent_on_models, tenant_id, job_id)
    assert row is not None  # noqa: S101 - an aggregate always has a row
    return Spent(row["job"], row["month"], row["month_limit"])

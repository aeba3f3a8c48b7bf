"""What model calls have cost a tenant this month, and one job so far, by what the jobs themselves have kept."""

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
    """Add up what the tenant's jobs have paid for since the month began, failed and cancelled ones too."""
    row = await conn.fetchrow(SQL.spent_on_models, tenant_id, job_id)
    assert row is not None  # noqa: S101 - an aggregate always has a row
    return Spent(row["job"], row["month"], row["month_limit"])

"""How much a tenant's media may take in all: `tenant_settings.limits.media_bytes`, else the deployment's default."""

from uuid import UUID

from store.errors import OverQuota
from store.pool import Connection
from store.queries import Queries

SQL = Queries("uploads/quota")


async def require_room(conn: Connection, media_id: UUID, size: int, *, default: int) -> None:
    """Pass when a file of this size still fits. Raises `OverQuota` with `used` and `quota`.

    Only while the tenant is held (`tenants.lock_tenant`) does the answer last until the row is there.
    """
    row = await conn.fetchrow(SQL.media_usage, media_id)
    assert row is not None  # noqa: S101 - a SELECT of sums is always one row
    quota = default if row["quota"] is None else int(row["quota"])
    if row["used"] + size > quota:
        raise OverQuota(
            f"Your company's storage is full: {row['used']} of {quota} bytes are taken, and {size} more were sent. "
            "Remove what is no longer needed, or ask for more.",
            used=int(row["used"]),
            quota=quota,
        )

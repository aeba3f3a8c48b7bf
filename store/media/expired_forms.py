"""Presigned forms that are over: what they wrote after their upload was complete, or without ever completing it, goes.

The store takes a form's bytes until the form expires, whatever became of the upload. The form's row keeps their room in
the company's quota until the object is deleted here; only then the row goes.
"""

from datetime import timedelta

from store.objects.objects import ObjectStore
from store.pool import Connection
from store.queries import Queries

SQL = Queries("media/expired_forms")

# The store looks at the expiry when a request begins: 100 MB over a slow line may arrive for as long again.
ARRIVAL = timedelta(hours=1)
# Each costs a request to the store, within one transaction.
AT_ONCE = 100


async def any_expired(conn: Connection) -> bool:
    """Tell whether a form is over and its row still there."""
    return bool(await conn.fetchval(SQL.any_expired, ARRIVAL))


async def sweep(conn: Connection, objects: ObjectStore) -> int:
    """Delete what lies under the keys of forms that are over, then their rows; returns how many.

    The rows are locked meanwhile, so a new form for one of these keys waits. Raises `Unavailable`.
    """
    rows = await conn.fetch(SQL.lock_expired, ARRIVAL, AT_ONCE)
    for bucket in (objects, objects.originals):
        await bucket.delete(*(row["storage_path"] for row in rows))
    await conn.execute(SQL.forget, [row["tenant_id"] for row in rows], [row["id"] for row in rows])
    return len(rows)

"""Photos as people see them: upright, small enough, and without a word of where they were taken."""

from gateway.context import Context
from store.errors import NotFound, Unprocessable
from store.media import EDGES, Size, derivative_key
from store.pool import Record

_SOURCE_TTL = 300


async def ensure_derivative(context: Context, row: Record, size: Size) -> str:
    """Return the key of a photo's JPEG, making it when this is the first to ask.

    `row` has id, tenant_id, visit_id, media_type, content_type and storage_path. Raises `NotFound` for a recording or
    a lost original, `Unprocessable` for a photo that cannot be opened, `Unavailable` when nobody can look at it now.
    """
    if row["media_type"] != "photo":
        raise NotFound("A recording has no picture.")
    key = derivative_key(row, size)
    if await context.objects.head(key) is None:
        await _make(context, row, size, key)
    return key


async def _make(context: Context, row: Record, size: Size, key: str) -> None:
    if row.get("problem"):
        raise Unprocessable(row["problem"])
    if await context.objects.head(row["storage_path"]) is None:
        raise NotFound("The photo is not in the store any more.")
    url = await context.objects.presign_get(row["storage_path"], ttl=_SOURCE_TTL, internal=True)
    jpeg = await context.decoder.render(url, row["content_type"], EDGES[size])
    await context.objects.put(key, jpeg, content_type="image/jpeg")

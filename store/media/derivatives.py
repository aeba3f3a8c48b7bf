"""Photos as people see them: upright, small enough, and without a word of where they were taken.

Workers make them as photos come; an earlier request has them made at once. To make one again changes nothing.
"""

from store.errors import NotFound, Unprocessable
from store.media.decoder.media_client import Decoder
from store.media.media import EDGES, Size, derivative_key
from store.objects.objects import ObjectStore
from store.pool import Record


async def ensure_derivative(objects: ObjectStore, decoder: Decoder, row: Record, size: Size) -> str:
    """Return the key of a photo's JPEG, making it when this is the first to ask.

    `row` has id, tenant_id, visit_id, media_type, content_type and storage_path. Raises `NotFound` for a recording or
    a lost original, `Unprocessable` for a photo that cannot be opened, `Unavailable` and `TooMany` as
    `Decoder.check` does.
    """
    if row["media_type"] != "photo":
        raise NotFound("A recording has no picture.")
    key = derivative_key(row, size)
    if await objects.head(key) is None:
        await _make(objects, decoder, row, size, key)
    return key


async def _make(objects: ObjectStore, decoder: Decoder, row: Record, size: Size, key: str) -> None:
    if row.get("problem"):
        raise Unprocessable(row["problem"], code="file_unusable")
    bucket = objects.holding(row["content_type"])
    if await bucket.head(row["storage_path"]) is None:
        raise NotFound("The photo is not in the store any more.")
    async with bucket.spooled(row["storage_path"]) as photo:
        jpeg = await decoder.render(photo, row["content_type"], EDGES[size], tenant=row["tenant_id"])
    await objects.put(key, jpeg, content_type="image/jpeg")
    if await bucket.head(row["storage_path"]) is None:  # deleted meanwhile: nobody would come by for what is made now
        await objects.discard(key)
        raise NotFound("The photo is not in the store any more.")

"""Makes the JPEGs that people see of photos, before anybody asks for them. A trigger of the media table queues it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from config.logging import get_logger
from config.settings import Settings
from jobs.queue.context import JobContext
from jobs.queue.kind import Kind, Task
from store.errors import NotFound, Unprocessable
from store.media import derivatives, media
from store.media.decoder.media_client import Decoder
from store.media.media import EDGES
from store.objects.objects import ObjectStore
from store.pool import Database

log = get_logger(__name__)


@asynccontextmanager
async def open_thumbnails(settings: Settings, db: Database) -> AsyncIterator[Task]:
    """Open the store and one decoder, which yields the processor to everybody else.

    Where photos are to be made when somebody first looks, the jobs are done at once and make nothing.
    """
    async with ObjectStore.open(settings) as objects:
        with Decoder(1) as decoder:

            async def make(ctx: JobContext) -> None:
                made = 0
                try:
                    async with db.as_system() as conn:
                        photo = await media.get(conn, UUID(ctx.payload["media_id"]))
                    for size in EDGES if settings.derivatives_ahead else ():
                        await derivatives.ensure_derivative(objects, decoder, photo, size)
                        made += 1
                except (NotFound, Unprocessable) as error:
                    log.info("A photo has no JPEGs", media_id=ctx.payload["media_id"], error=type(error).__name__)
                await ctx.complete({"made": made})

            yield make


# One at a time: decoding takes a processor, and estimates have the others.
PHOTO_JPEGS = Kind(
    "photo_jpegs", open_thumbnails, share=0.0, timeout=timedelta(minutes=5), retention=timedelta(hours=1)
)

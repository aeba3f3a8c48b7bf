"""Makes the JPEGs that people see of photos, before anybody asks for them: by a list in the database, newest first."""

import asyncio
import random

from config.logging import get_logger
from config.settings import Settings
from store.errors import NotFound, Unprocessable
from store.media import derivatives
from store.media.media import EDGES
from store.media.media_client import Decoder
from store.objects.objects import ObjectStore
from store.pool import AWAY, Database, Record

log = get_logger(__name__)

# Between two looks at the list; meanwhile a photo that is looked at is made at once by the gateway.
LOOK_SECONDS = (1.5, 2.5)


class ThumbnailWorker:
    """One photo at a time, in a helper process that yields the processor to everybody else."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings

    async def run_forever(self) -> None:
        """Look every two seconds or so."""
        while True:
            await asyncio.sleep(random.uniform(*LOOK_SECONDS))  # noqa: S311 - spreads load
            try:
                await self.run()
            except AWAY as error:  # the store's too: what was taken is tried again in a while
                log.warning("Photos wait for their JPEGs", error=type(error).__name__)

    async def run(self) -> None:
        """Make the wanted JPEGs until none is left; store and helper are opened only for that."""
        photo = await self._take()
        if photo is None:
            return
        async with ObjectStore.open(self._settings) as objects:
            with Decoder(1) as decoder:
                while photo is not None:
                    await self._render(objects, decoder, photo)
                    photo = await self._take()

    async def _render(self, objects: ObjectStore, decoder: Decoder, photo: Record) -> None:
        try:
            for size in EDGES:
                await derivatives.ensure_derivative(objects, decoder, photo, size)
        except (NotFound, Unprocessable) as error:
            log.info("A photo has no JPEGs", media_id=str(photo["id"]), error=type(error).__name__)
        async with self._db.as_system() as conn:
            await derivatives.forget_wanted(conn, photo)

    async def _take(self) -> Record | None:
        async with self._db.as_system() as conn:
            return await derivatives.take_wanted(conn)

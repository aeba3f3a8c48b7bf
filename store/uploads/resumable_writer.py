"""Adds a client's bytes to a resumable upload, and acknowledges only durable ones.

The row's `received` moves only forward, only by the holder of its claim, and only after the bytes lie in the
store: full parts in the multipart upload, the rest of a request in an object of its own, the tail. A tail is written
under a new name each time and the row then points to it, so a crash between the two leaves the one before in force.
Bytes that the row never came to know, because the upload was ended or taken over or its checksum was wrong, go at
the end: nobody else could find it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from asyncpg import PostgresError

from config.logging import get_logger
from store.errors import Locked, SpineError, TooLarge
from store.objects.content import ALL_TYPES, HEAD_BYTES, UNKNOWN, recognise
from store.objects.spool import PART_BYTES, Spool
from store.uploads import resumables

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping
    from uuid import UUID

    from store.objects.checksum import Checksum
    from store.objects.objects import ObjectStore
    from store.pool import Database, Record

_log = get_logger(__name__)
# Photos and voice notes: what is kept on disk beside the parts, of each file that is on its way.
_WHOLE_BYTES = 32 * 1024 * 1024
# Three times within a claim, so that one late renewal loses nothing.
_RENEW_SECONDS = resumables.CLAIM.total_seconds() / 3


class ResumableWriter:
    """One request's writing, while it holds the claim.

    With a `checksum` nothing is committed before all of the request has come and is right.
    """

    def __init__(
        self, db: Database, claims: Mapping[str, Any], objects: ObjectStore, row: Record, checksum: Checksum | None
    ) -> None:
        self._db = db
        self._claims = claims
        self._objects = objects
        self._checksum = checksum
        self._multipart_id: str | None = row["multipart_id"]
        # Of these the row knows nothing yet, for certain.
        self._begun: str | None = None
        self._tails: list[tuple[str, str]] = []
        self._etags: list[str] = list(row["etags"])
        self._sent: int = min(PART_BYTES * len(self._etags), row["file_size"])
        self._part = Spool()
        # Before the first part is sent, the row has a guess.
        self._kind = ALL_TYPES[row["content_type"]] if row["etags"] else UNKNOWN
        # The file itself, if one request brings all of it: whoever opens it need not fetch it.
        fits = row["received"] == 0 and PART_BYTES < row["file_size"] <= _WHOLE_BYTES
        self._copy = Spool(row["file_size"]) if fits else None
        self._renewed = time.monotonic()
        self.row = row

    @classmethod
    @asynccontextmanager
    async def claim(  # noqa: PLR0913 - who, where and what
        cls,
        db: Database,
        claims: Mapping[str, Any],
        objects: ObjectStore,
        upload_id: UUID,
        *,
        offset: int,
        checksum: Checksum | None = None,
    ) -> AsyncIterator[Self]:
        """Claim the upload for the block, and release it after. Raises as `resumables.claim` does."""
        token = uuid4()
        async with db.as_user(claims) as conn:
            row = await resumables.claim(conn, upload_id, token, offset)
        writer = cls(db, claims, objects, row, checksum)
        try:
            await writer._take_up_tail()
            yield writer
        finally:
            for spool in filter(None, (writer._part, writer._copy)):
                spool.close()
            await objects.finish_in_any_case(writer._quietly(writer._release()))
            await objects.finish_in_any_case(writer._quietly(writer._drop_unknown()))

    @property
    def whole(self) -> Spool | None:
        """All of the file, if this request brought it."""
        return self._copy if self._copy is not None and self._copy.size == self.row["file_size"] else None

    @property
    def is_whole(self) -> bool:
        """Whether all bytes of the file are durable."""
        return bool(self.row["received"] == self.row["file_size"])

    async def write(self, chunk: bytes) -> None:
        """Take some bytes.

        Raises `UnsupportedType` once they show that the file is none we take, `TooLarge` past the announced size and
        `Locked` when another has taken over.
        """
        if self._received + len(chunk) > self.row["file_size"]:
            raise TooLarge(f"The upload was announced with {self.row['file_size']} bytes.", limit=self.row["file_size"])
        if self._checksum is not None:
            self._checksum.update(chunk)
        await self._renew_if_due()
        rest = memoryview(chunk)
        if self._copy is not None:
            self._copy.fill(rest)
        while rest:
            rest = self._part.fill(rest)
            if self._part.size >= HEAD_BYTES:
                self._recognise()
            if self._part.is_full:
                await self._send_part()
                if self._checksum is None:
                    await self._commit(tail=None)

    async def save(self) -> None:
        """Make the received bytes durable, and say so.

        Raises `Damaged` when it is not what its checksum says, `UnsupportedType` as `write` does.
        """
        if self._checksum is not None:
            self._checksum.verify()
        if self._received != self.row["received"]:
            await self._commit(tail=await self._store_rest())

    async def save_what_came(self) -> None:
        """Keep the bytes a request brought before it broke off: even if it is cancelled, and without an error."""
        if self._checksum is None:  # else nobody can tell whether it is right
            await self._objects.finish_in_any_case(self._quietly(self.save()))

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Keep the claim while something else is done with the file."""
        keeper = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait({keeper})

    @property
    def _received(self) -> int:
        return self._sent + self._part.size

    @property
    def _type(self) -> str:
        """The file's type, a guess until its first bytes are there; a tail lies where such files do."""
        return str(self.row["content_type"]) if self._kind is UNKNOWN else self._kind.name

    async def _take_up_tail(self) -> None:
        if self.row["tail_path"] is None:
            return
        async with aclosing(self._objects.holding(self.row["content_type"]).chunks(self.row["tail_path"])) as chunks:
            async for chunk in chunks:
                self._part.fill(memoryview(chunk))

    def _recognise(self) -> None:
        """Learn the file's type by its first bytes, which lie in its first part."""
        if self._kind is UNKNOWN:
            self._kind = recognise(self._part.head(HEAD_BYTES), self.row["declared_type"])

    async def _send_part(self) -> None:
        self._recognise()
        key, multipart = self.row["storage_path"], self._objects.holding(self._kind.name).multipart
        if self._multipart_id is None:
            self._multipart_id = self._begun = await multipart.begin(key, content_type=self._kind.name)
        self._etags.append(await multipart.send(key, self._multipart_id, len(self._etags) + 1, self._part))
        self._sent += self._part.size
        if self._part.size == self.row["file_size"]:
            self._copy, self._part = self._part, Spool()
        self._part.clear()

    async def _store_rest(self) -> str | None:
        """Store the bytes not in a part yet: as the file's last part, or as a tail, whose key is returned."""
        if not self._part.size:
            return None
        if self._part.is_full or self._received == self.row["file_size"]:
            await self._send_part()
            return None
        tail = f"{self.row['storage_path']}-{secrets.token_hex(6)}"
        self._tails.append((self._type, tail))
        await self._objects.holding(self._type).multipart.put(tail, self._part, content_type=self._type)
        return tail

    async def _commit(self, *, tail: str | None) -> None:
        before, unknown = (self.row["content_type"], self.row["tail_path"]), (self._begun, self._tails)
        self._begun, self._tails = None, []  # even if no answer comes: the row may have them
        try:
            async with self._db.as_user(self._claims) as conn:
                self.row = await resumables.commit(
                    conn,
                    *(self.row["id"], self.row["writer"]),
                    received=self._received if tail else self._sent,
                    multipart_id=self._multipart_id,
                    etags=self._etags,
                    tail_path=tail,
                    content_type=self._type,
                )
        except Locked:
            self._begun, self._tails = unknown
            raise
        self._renewed = time.monotonic()
        if before[1] is not None:
            await self._objects.holding(before[0]).discard(before[1])

    async def _renew_if_due(self) -> None:
        if time.monotonic() - self._renewed < _RENEW_SECONDS:
            return
        async with self._db.as_user(self._claims) as conn:
            await resumables.renew(conn, self.row["id"], self.row["writer"])
        self._renewed = time.monotonic()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            await self._quietly(self._renew_if_due())

    async def _release(self) -> None:
        async with self._db.as_user(self._claims) as conn:
            await resumables.release(conn, self.row["id"], self.row["writer"])

    async def _drop_unknown(self) -> None:
        if self._begun is not None:
            bucket = self._objects.holding(self._kind.name)
            await bucket.multipart.abort(self.row["storage_path"], self._begun)
        for content_type, tail in self._tails:
            await self._objects.holding(content_type).delete(tail)

    async def _quietly(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (SpineError, PostgresError, OSError) as error:  # nothing of it was acknowledged: it is sent again
            _log.warning(
                "An upload's claim or bytes were not kept", upload_id=str(self.row["id"]), error=type(error).__name__
            )

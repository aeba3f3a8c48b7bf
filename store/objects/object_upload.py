"""One object on its way into the store: counted, hashed, and sent in parts once it is too large for one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from store.objects.spool import Spool

if TYPE_CHECKING:
    from store.objects.content import Findings
    from store.objects.multipart import Multipart


# A phone's photo fits one part: it is then stored in one request, and opened without being fetched again.
PART_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class StoredObject:
    """The stored object: bytes counted and hashed by us as they passed.

    `spool` has them all, when one part was enough, for as long as whoever took them in holds it; `findings` is what
    opening them told, once somebody has.
    """

    size: int
    sha256: str
    spool: Spool | None = field(default=None, compare=False, repr=False)
    findings: Findings | None = None


@dataclass
class ObjectUpload:
    """One object on its way: a plain PUT while it is small, parts from the second one on."""

    multipart: Multipart
    key: str
    content_type: str
    size: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)
    part: Spool = field(default_factory=partial(Spool, PART_BYTES))
    upload_id: str | None = None
    etags: list[str] = field(default_factory=list)

    async def add(self, chunk: bytes) -> None:
        """Take some bytes; whenever a part is full and more comes, send it."""
        self.size += len(chunk)
        self.sha256.update(chunk)
        rest = memoryview(chunk)
        while rest:
            if self.part.is_full:
                await self._send_part()
            rest = self.part.fill(rest)

    async def finish(self) -> StoredObject:
        """Send the remaining bytes and make the object appear."""
        if self.upload_id is None:
            await self.multipart.put(self.key, self.part, content_type=self.content_type)
        else:
            await self._send_part()
            await self.multipart.complete(self.key, self.upload_id, self.etags)
        return StoredObject(self.size, self.sha256.hexdigest(), self.part if self.upload_id is None else None)

    async def abort(self) -> None:
        """Drop the parts sent so far."""
        if self.upload_id is not None:
            await self.multipart.abort(self.key, self.upload_id)

    async def _send_part(self) -> None:
        if self.upload_id is None:
            self.upload_id = await self.multipart.begin(self.key, content_type=self.content_type)
        self.etags.append(await self.multipart.send(self.key, self.upload_id, len(self.etags) + 1, self.part))
        self.part.clear()

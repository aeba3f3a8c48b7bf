"""Media of a visit: rows over objects. A row stands only over an object that is safely stored."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Self
from uuid import UUID

from store.errors import Conflict, NotFound
from store.events import events
from store.objects.content import ALL_TYPES, UNKNOWN, ContentType, Findings, recognise
from store.objects.object_upload import StoredObject
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("media/media")

Size = Literal["thumb", "view"]
# Pixels of the longer side of what people look at.
EDGES: dict[Size, int] = {"thumb": 400, "view": 2000}

# Where media without a number stand: behind all others.
_LAST = 2**31 - 1
_PUBLIC = (
    *(
        "id",
        "visit_id",
        "media_type",
        "content_type",
        "declared_type",
        "file_size",
        "sha256",
        "original_name",
        "label",
        "sequence",
    ),
    *("duration_ms", "width", "height", "status", "problem", "note", "created_at"),
)

_ORIGINAL = {"content_type": "type", "file_size": "size", "sha256": "sha256"}


@dataclass(frozen=True)
class Original:
    """A file as it was sent, in the bucket of originals."""

    path: str
    content_type: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Draft:
    """A medium on its way: what its sender says, the key its bytes go to, and what they are once they are known."""

    id: UUID
    tenant_id: UUID
    visit_id: UUID
    storage_path: str
    declared_type: str = ""
    kind: ContentType = UNKNOWN
    original_name: str = ""
    label: str = ""
    sequence: int | None = None
    duration_ms: int | None = None
    created_by: UUID | None = None
    original: Original | None = None

    @classmethod
    def of_row(cls, media_id: UUID, row: Record) -> Self:
        """Read back what the row of a promised, resumable or chunked upload keeps of its medium."""
        fields = ("tenant_id", "visit_id", "storage_path", "declared_type", "original_name", "label", "sequence")
        known = {name: row[name] for name in (*fields, "duration_ms", "created_by")}
        return cls(id=media_id, kind=ALL_TYPES.get(row["content_type"], UNKNOWN), **known)

    def recognised(self, head: bytes) -> Self:
        """Return the same medium as what its first bytes say it is. Raises `UnsupportedType`."""
        return replace(self, kind=recognise(head, self.declared_type))

    def at_new_key(self) -> Self:
        """Return the same medium with a key nobody else writes to."""
        return replace(self, storage_path=new_key(self.tenant_id, self.visit_id, self.id))


def new_key(tenant_id: UUID, visit_id: UUID, media_id: UUID) -> str:
    """Return a key of one attempt's own: a second upload of the same id never touches the first one's bytes."""
    return f"{tenant_id}/{visit_id}/{media_id}/{secrets.token_hex(6)}"


def derivative_key(row: Record, size: Size) -> str:
    """Return where the JPEG of a photo for people's eyes lies."""
    return f"{row['tenant_id']}/{row['visit_id']}/{row['id']}/{size}.jpg"


def keys_of(row: Record) -> tuple[str, ...]:
    """Return every key a medium may have objects under, in either bucket."""
    originals = () if row["original_path"] is None else (row["original_path"],)
    return (row["storage_path"], *(derivative_key(row, size) for size in EDGES), *originals)


def public(row: Record) -> dict[str, Any]:
    """Return a medium as clients see it: all but its place and the people concerned."""
    original = {name: row[f"original_{part}"] for name, part in _ORIGINAL.items()}
    return {name: row[name] for name in _PUBLIC} | {"original": original if row["original_path"] else None}


async def insert(conn: Connection, draft: Draft, stored: StoredObject, findings: Findings) -> tuple[Record, bool]:
    """Give a stored object its row, and tell the visit's subscribers; returns the row and whether it is new.

    The same id with the same bytes is the first row again. Raises `Conflict` when the id is taken by anything else.
    """
    row = await conn.fetchrow(SQL.insert_media, *_row(draft, stored, findings))
    if row is None:
        sha256 = stored.sha256 if draft.original is None else draft.original.sha256
        return require_same(await find(conn, draft.id), draft.visit_id, sha256), False
    payload = {"media_id": str(row["id"]), "media_type": row["media_type"], "name": row["original_name"]}
    await events.append(conn, tenant_id=draft.tenant_id, visit_id=draft.visit_id, type="media.stored", payload=payload)
    return row, True


def require_same(row: Record | None, visit_id: UUID, sha256: str) -> Record:
    """Return the row that already has this id. Raises `Conflict` unless it is of this visit, with these bytes."""
    if row is None or row["visit_id"] != visit_id:
        raise Conflict("This media id is taken; choose a new one.", code="media_id_taken")
    if sha256 not in (row["sha256"], row["original_sha256"]):
        detail = "This media id already holds another file; choose a new one."
        raise Conflict(detail, code="media_id_taken", sha256=row["sha256"])
    return row


async def find(conn: Connection, media_id: UUID) -> Record | None:
    """Return a medium of the caller's tenant, or None."""
    return await conn.fetchrow(SQL.get_media, media_id)


async def get(conn: Connection, media_id: UUID) -> Record:
    """Return a medium. Raises `NotFound`, for another tenant's too."""
    return _found(await find(conn, media_id))


async def lock(conn: Connection, media_id: UUID) -> Record:
    """Return a medium, held to the end of the transaction. Raises `NotFound`."""
    return _found(await conn.fetchrow(SQL.lock_media, media_id))


async def of_visit(conn: Connection, visit_id: UUID) -> list[Record]:
    """Return a visit's media in the order they were taken."""
    return await conn.fetch(SQL.media_of_visit, visit_id)


async def page_of_visit(
    conn: Connection, visit_id: UUID, limit: int, after: tuple[int, datetime, UUID] | None
) -> list[Record]:
    """Return a visit's media behind a place, in the order they were taken."""
    return await conn.fetch(SQL.media_page, visit_id, limit, *(after or (None, None, None)))


def place(row: Record) -> tuple[int, datetime, UUID]:
    """Return where a medium stands in that order."""
    sequence = _LAST if row["sequence"] is None else row["sequence"]
    return sequence, row["created_at"], row["id"]


async def by_hash(conn: Connection, visit_id: UUID, hashes: Sequence[str]) -> dict[str, UUID]:
    """Return {sha256: media id} of those hashes the visit holds."""
    rows = await conn.fetch(SQL.media_by_hash, visit_id, list(hashes))
    return {row["sha256"]: row["media_id"] for row in rows}


async def set_label(conn: Connection, media_id: UUID, label: str) -> Record:
    """Rename a medium. Raises `NotFound`."""
    return _found(await conn.fetchrow(SQL.set_label, media_id, label))


async def remove(conn: Connection, media_id: UUID) -> Record:
    """Delete the row, tell the subscribers, and return what it was; the objects are the caller's to delete after.

    Raises `NotFound`.
    """
    row = _found(await conn.fetchrow(SQL.delete_media, media_id))
    payload = {"media_id": str(media_id)}
    await events.append(
        conn, tenant_id=row["tenant_id"], visit_id=row["visit_id"], type="media.removed", payload=payload
    )
    return row


async def promise(conn: Connection, draft: Draft, *, file_size: int, sha256: str | None, ttl: timedelta) -> str:
    """Remember an upload that goes straight to the store, and return the key that its form is for.

    Raises `Conflict` while a form for another visit has this id, and until what that form wrote is deleted.
    """
    key: str | None = await conn.fetchval(
        SQL.promise_upload,
        *(draft.id, draft.tenant_id, draft.visit_id, draft.storage_path, draft.kind.name, file_size, sha256),
        *(draft.original_name, draft.label, draft.sequence, draft.duration_ms, draft.created_by, ttl),
        draft.declared_type,
    )
    if key is None:
        raise Conflict("This media id is taken; choose a new one.", code="media_id_taken")
    return key


async def promised(conn: Connection, media_id: UUID, visit_id: UUID) -> Record:
    """Return the upload promised under this id. Raises `NotFound`."""
    row = await conn.fetchrow(SQL.promised_upload, media_id, visit_id)
    if row is None:
        raise NotFound("No upload was prepared under this id; ask for a new one.")
    return row


async def close_promise(conn: Connection, promise: Record) -> None:
    """Note that a promise was kept; its row stays until `expired_forms` has deleted what its form wrote since."""
    await conn.execute(SQL.complete_upload, promise["id"], promise["storage_path"])


def _row(draft: Draft, stored: StoredObject, findings: Findings) -> tuple[Any, ...]:
    # What was measured wins over what was said.
    duration_ms = findings.duration_ms if findings.duration_ms is not None else draft.duration_ms
    status = "needs_attention" if findings.problem else "stored"
    return (
        *(draft.id, draft.tenant_id, draft.visit_id, draft.kind.media_type, draft.kind.name, draft.storage_path),
        *(stored.size, stored.sha256, draft.original_name, draft.label, draft.sequence, duration_ms),
        *(findings.width, findings.height, status, findings.problem, draft.created_by, draft.declared_type),
        findings.note,
        *_original(draft),
    )


def _original(draft: Draft) -> tuple[Any, ...]:
    it = draft.original
    return (None,) * 4 if it is None else (it.path, it.content_type, it.size, it.sha256)


def _found(row: Record | None) -> Record:
    if row is None:
        raise NotFound("There is no such photo or recording.")
    return row

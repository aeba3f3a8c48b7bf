"""Resumable uploads: a row says how much of a file is durable, and which request may add to it."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from store.errors import Conflict, Gone, Locked, NotFound, TooMany
from store.media.media import Draft
from store.pool import Connection, Record
from store.queries import Queries
from store.tenants.tenants import lock_tenant

SQL = Queries("uploads/resumables")

# From the last byte that was kept. A contractor may drive home over a weekend.
LIFE = timedelta(hours=72)
# How long a silent writer keeps others out. A gateway that was killed is replaced after this; while bytes come, their
# writer renews it.
CLAIM = timedelta(seconds=6)
OPEN_AT_ONCE = 200


@dataclass(frozen=True)
class Announced:
    """A client's description of the file beyond its draft."""

    file_size: int
    sha256: str | None
    metadata: str


async def create(conn: Connection, draft: Draft, announced: Announced) -> Record:
    """Begin an upload; asked again for the same medium and size, it is the one under way.

    Raises `Conflict` when the medium has another upload, `TooMany` past 200 open ones of the tenant.
    """
    await lock_tenant(conn)
    known = await conn.fetchrow(SQL.upload_of_medium, draft.id)
    if known is not None and known["expired"]:
        await remove(conn, known["id"])
    elif known is not None:
        return _require_same(known, draft, announced)
    if await conn.fetchval(SQL.open_uploads) >= OPEN_AT_ONCE:
        raise TooMany(f"{OPEN_AT_ONCE} uploads are under way; finish some first.", retry_after=30)
    row = await conn.fetchrow(
        SQL.create_upload,
        *(draft.tenant_id, draft.visit_id, draft.id, draft.storage_path, draft.kind.name, announced.file_size),
        *(announced.sha256, draft.original_name, draft.label, draft.sequence, draft.duration_ms, draft.created_by),
        *(announced.metadata, draft.declared_type, LIFE),
    )
    assert row is not None  # noqa: S101 - nobody else creates while the tenant is held
    return row


async def get(conn: Connection, upload_id: UUID) -> Record:
    """Return an upload. Raises `NotFound`, for another tenant's too, and `Gone` when it has expired."""
    row = await conn.fetchrow(SQL.get_upload, upload_id)
    if row is None:
        raise NotFound("There is no such upload; begin a new one.")
    if row["expired"]:
        raise Gone("This upload has expired; begin a new one.", code="upload_expired")
    return row


async def claim(conn: Connection, upload_id: UUID, writer: UUID, offset: int) -> Record:
    """Claim the upload to add to it, at `offset`.

    Raises as `get` does, `Locked` while another adds to it, and `Conflict` when it does not stand at `offset`.
    """
    row = await conn.fetchrow(SQL.claim_upload, upload_id, writer, CLAIM)
    if row is None:
        require_offset(await get(conn, upload_id), offset)
        raise Locked("Another request is adding to this upload. Try again.", retry_after=CLAIM.total_seconds())
    return require_offset(row, offset)


def require_offset(row: Record, offset: int) -> Record:
    """Return the upload. Raises `Conflict` unless it stands at `offset`."""
    if row["received"] != offset:
        detail = f"The upload stands at byte {row['received']}, not {offset}."
        raise Conflict(detail, code="upload_offset_mismatch", offset=row["received"])
    return row


async def renew(conn: Connection, upload_id: UUID, writer: UUID) -> None:
    """Keep others out a little longer. Raises as `commit` does."""
    _still_ours(await conn.fetchrow(SQL.renew_claim, upload_id, writer, CLAIM))


async def commit(  # noqa: PLR0913 - what is durable, column by column
    conn: Connection,
    upload_id: UUID,
    writer: UUID,
    *,
    received: int,
    multipart_id: str | None,
    etags: list[str],
    tail_path: str | None,
    content_type: str,
) -> Record:
    """Record the durable length. Raises `Locked` when another has taken over, or the upload was ended."""
    return _still_ours(
        await conn.fetchrow(
            SQL.commit_upload,
            *(upload_id, writer, received, multipart_id, etags, tail_path, content_type, CLAIM, LIFE),
        )
    )


async def release(conn: Connection, upload_id: UUID, writer: UUID) -> None:
    """Let the next one add to it."""
    await conn.execute(SQL.release_claim, upload_id, writer)


async def mark_stored(conn: Connection, upload_id: UUID, writer: UUID) -> None:
    """Say that the file is a medium now. Raises as `commit` does."""
    _still_ours(await conn.fetchrow(SQL.mark_stored, upload_id, writer))


async def remove(conn: Connection, upload_id: UUID) -> Record | None:
    """Forget an upload, and return its row; its objects are the caller's to delete after."""
    return await conn.fetchrow(SQL.delete_upload, upload_id)


def _require_same(known: Record, draft: Draft, announced: Announced) -> Record:
    asked = (draft.visit_id, draft.declared_type, announced.file_size)
    if (known["visit_id"], known["declared_type"], known["file_size"]) != asked:
        raise Conflict("Another file is being uploaded under this media id; choose a new one.", code="media_id_taken")
    return known


def _still_ours(row: Record | None) -> Record:
    if row is None:
        raise Locked("Another request has taken this upload over, or it was ended.", retry_after=1)
    return row

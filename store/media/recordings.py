"""Recordings in chunks: those received, those missing, and how the chunks make files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Self
from uuid import UUID

from store.errors import Conflict, Unprocessable, UnsupportedType
from store.media import media
from store.objects.content import UNKNOWN, ContentType, named, recognise
from store.objects.object_upload import StoredObject
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("media/recordings")

LAST_SEQUENCE = 9999
# What a chunk without a header may be called: nothing, anything, or some sound that is known by its first chunk.
_MAY_GO_ON = ("audio/", "video/", UNKNOWN.name)


@dataclass(frozen=True)
class Chunk:
    """One chunk on its way: where it belongs, the key its bytes go to, and what they are once they are known.

    A chunk with a header of its own `is_whole`: a file. One without goes on with the one before.
    """

    tenant_id: UUID
    visit_id: UUID
    recording_id: UUID
    sequence: int
    storage_path: str
    declared_type: str = ""
    kind: ContentType = UNKNOWN
    is_whole: bool = False

    def recognised(self, head: bytes) -> Self:
        """Return the same chunk as what its first bytes say it is.

        Raises `UnsupportedType` for what is no sound, and for what might go on with something declared as none.
        """
        try:
            kind, is_whole = recognise(head, self.declared_type), True
        except UnsupportedType:
            kind, is_whole = named(self.declared_type) or UNKNOWN, False
            if kind is UNKNOWN and self.declared_type and not self.declared_type.startswith(_MAY_GO_ON):
                raise
        if kind.media_type == "photo":
            raise UnsupportedType("A recording is made of sound; post photos to the visit's media.")
        return replace(self, kind=kind, is_whole=is_whole)


async def add(conn: Connection, chunk: Chunk, stored: StoredObject) -> tuple[Record, bool]:
    """Give a stored chunk its row; returns the row and whether it is new.

    The same place with the same bytes is the first row again. Raises `Conflict` when it holds others or the recording
    is of another type, and as `require_open` does: also of what happened since the chunk began to come.
    """
    await conn.execute(SQL.hold_recording, chunk.recording_id)
    await require_open(conn, chunk)
    await _require_type(conn, chunk)
    row = await conn.fetchrow(
        SQL.insert_chunk,
        *(chunk.tenant_id, chunk.visit_id, chunk.recording_id, chunk.sequence, chunk.storage_path, chunk.kind.name),
        *(stored.size, stored.sha256, chunk.is_whole, chunk.declared_type),
    )
    if row is not None:
        return row, True
    known = await conn.fetchrow(SQL.get_chunk, chunk.recording_id, chunk.sequence)
    if known is None or (known["visit_id"], known["sha256"]) != (chunk.visit_id, stored.sha256):
        raise Conflict(f"Chunk {chunk.sequence} of this recording already holds other bytes.", code="chunk_differs")
    return known, False


async def require_open(conn: Connection, chunk: Chunk) -> None:
    """Raise `Conflict` when the recording is discarded, or a medium by now."""
    if await conn.fetchval(SQL.is_discarded, chunk.recording_id):
        raise Conflict("This recording was discarded; begin another one.", code="recording_closed")
    if await media.find(conn, chunk.recording_id) is not None:
        raise Conflict("This recording is finished; begin another one.", code="recording_closed")


async def _require_type(conn: Connection, chunk: Chunk) -> None:
    """Raise `Conflict` when the recording is of another type: together they could not be played."""
    if not chunk.is_whole:
        return
    other = await conn.fetchval(SQL.other_type, chunk.recording_id, chunk.kind.name)
    if other is not None:
        raise Conflict(
            f"This recording is made of {other}; begin another one for {chunk.kind.name}.", code="chunk_differs"
        )


async def size_beside(conn: Connection, chunk: Chunk) -> int:
    """Return how many bytes the recording has in its other chunks."""
    size: int = await conn.fetchval(SQL.size_beside, chunk.recording_id, chunk.sequence)
    return size


async def chunks_of(conn: Connection, recording_id: UUID, visit_id: UUID) -> list[Record]:
    """Return a recording's chunks in order."""
    return await conn.fetch(SQL.chunks_of_recording, recording_id, visit_id)


async def discard(conn: Connection, recording_id: UUID, visit_id: UUID) -> list[Record]:
    """Drop what has come of a recording, and let nothing be added: what is on its way too. Returns its chunks."""
    await conn.execute(SQL.hold_recording, recording_id)
    await conn.execute(SQL.mark_discarded, visit_id, recording_id)
    chunks = await chunks_of(conn, recording_id, visit_id)
    await forget(conn, chunks)
    return chunks


async def forget(conn: Connection, chunks: Sequence[Record]) -> None:
    """Drop the rows of exactly these chunks."""
    await conn.execute(SQL.delete_chunks, _paths(chunks))


async def forget_joined(conn: Connection, chunks: Sequence[Record], recording_id: UUID, visit_id: UUID) -> None:
    """Drop the rows of the chunks that were joined. Raises `Conflict` when they are not all that there are by now."""
    await conn.execute(SQL.hold_recording, recording_id)
    if _paths(await chunks_of(conn, recording_id, visit_id)) != _paths(chunks):
        raise Conflict("Chunks of this recording came or went while it was joined; finalize it again.")
    await forget(conn, chunks)


def _paths(chunks: Sequence[Record]) -> list[str]:
    return [chunk["storage_path"] for chunk in chunks]


def missing(sequences: Sequence[int], last: int | None) -> list[int]:
    """Return the numbers that did not come, up to `last` or the last that did; counting begins at 0 or at 1."""
    came = set(sequences)
    first = 0 if 0 in came else 1
    return [number for number in range(first, max(came | {last or 0}) + 1) if number not in came]


def without_beginning(chunks: Sequence[Record]) -> list[int]:
    """Return the numbers before the first chunk that is whole: a player can make nothing of them."""
    return [chunk["sequence"] for chunk in takewhile(lambda chunk: not chunk["is_whole"], chunks)]


def files_of(chunks: Sequence[Record]) -> list[list[Record]]:
    """Group chunks into files: each begins with a chunk that is whole, and goes on with those that are not.

    What comes before the first beginning cannot be heard and is left out. Raises `Unprocessable` when nothing is left.
    """
    files: list[list[Record]] = []
    for chunk in chunks:
        if chunk["is_whole"]:
            files.append([chunk])
        elif files:
            files[-1].append(chunk)
    if not files:
        raise Unprocessable(
            "The beginning of this recording is missing, so it cannot be played. Send it again.", code="file_unusable"
        )
    return files

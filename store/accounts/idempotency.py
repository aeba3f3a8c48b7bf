"""Idempotency keys: a request that was answered under a key is not carried out again within 24 hours.

A key's row is written in the transaction of the effect itself, so that both are there or neither. While a request is in
progress it holds an advisory lock of the key, which ends with its transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from store.errors import InProgress, Unprocessable
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("accounts/idempotency")

KEPT = timedelta(hours=24)
RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class KeyedRequest:
    """A request under a key: whose it is, the key's sha256, and the sha256 of what was asked."""

    tenant_id: UUID
    user_id: UUID
    key_hash: bytes
    fingerprint: bytes


async def begin(conn: Connection, request: KeyedRequest) -> Record | None:
    """Hold the key to the end of the transaction; returns (status, headers, body) where the request was answered.

    Raises `InProgress` while another request holds it, and `Unprocessable` for a key of another request.
    """
    whose = (request.tenant_id, request.user_id, request.key_hash)
    if not await conn.fetchval(SQL.hold_key, *whose):
        detail = "The first request with this Idempotency-Key is in progress. Try again in a moment."
        raise InProgress(detail, retry_after=RETRY_SECONDS)
    row = await conn.fetchrow(SQL.answer_of_key, *whose, KEPT)
    if row is not None and row["fingerprint"] != request.fingerprint:
        detail = "This Idempotency-Key was used for another request; send a new one."
        raise Unprocessable(detail, code="idempotency_key_reused")
    return row


async def keep(conn: Connection, request: KeyedRequest, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Keep the answer under the key; `body` is sealed by the caller."""
    await conn.execute(
        SQL.keep_answer,
        request.tenant_id,
        request.user_id,
        request.key_hash,
        request.fingerprint,
        status,
        dict(headers),
        body,
    )


async def forget(conn: Connection) -> None:
    """Forget keys older than 24 hours, some at a time; for the worker's clock."""
    await conn.execute(SQL.forget_keys, KEPT)

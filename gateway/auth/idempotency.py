"""Idempotency-Key: a POST that makes something is carried out once for each key, however often it is sent.

The whole request runs in one transaction, with the key's row in it. A repeated request gets the first answer again,
with `idempotency-replayed: true`. An error is not kept: the request may be sent again under the same key.

A handler that waits for the object store, or takes seconds, would hold a connection for as long: with `in_one=False`
the answer is kept in a transaction of its own, after the handler's. Such a handler must do no harm when called twice.
"""

import hashlib
import os
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, TypeAlias

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth.auth import authenticate
from gateway.context import context_of
from gateway.http.body import read_body
from store.accounts import idempotency
from store.accounts.idempotency import KeyedRequest
from store.errors import InvalidInput
from store.pool import Connection, Record

if TYPE_CHECKING:
    from starlette.types import Message

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]

LONGEST_KEY = 200
# More than any route behind this takes; the route's own limit follows.
_BODY_BYTES = 1024 * 1024
_NONCE_BYTES = 12
_REPLAYED = "idempotency-replayed"
# Set for each answer anew, or by the server.
_NOT_KEPT = frozenset({"content-length", "date", "x-correlation-id"})


def idempotent(handler: Handler, *, body_bytes: int = _BODY_BYTES, in_one: bool = True) -> Handler:
    """Make a handler obey Idempotency-Key; without one it is called as it is. It takes at most `body_bytes`.

    Raises `InvalidInput` for a key that is none, `InProgress` while the first request is under way, and
    `Unprocessable` for another request under the same key.
    """

    @wraps(handler)
    async def once(request: Request) -> Response:
        key = _key_of(request)
        if key is None:
            return await handler(request)
        principal = await authenticate(request)
        body = await read_body(request, limit=body_bytes)
        keyed = KeyedRequest(principal.tenant_id, principal.user_id, _sha256(key.encode()), _fingerprint(request, body))
        seal = _Seal(keyed, key)
        repeated = Request(request.scope, _receiving(body))
        db = context_of(request).db
        if in_one:
            async with db.spanning(principal.claims) as conn:
                if answered := await idempotency.begin(conn, keyed):
                    return seal.replayed(answered)
                response = await handler(repeated)
                await seal.keep(conn, response)
            return response
        async with db.as_user(principal.claims) as conn:
            if answered := await idempotency.begin(conn, keyed):
                return seal.replayed(answered)
        response = await handler(repeated)
        async with db.as_user(principal.claims) as conn:
            # Of two that came at the same time, the first answer is everybody's.
            if answered := await idempotency.begin(conn, keyed):
                return seal.replayed(answered)
            await seal.keep(conn, response)
        return response

    once.idempotent = True  # type: ignore[attr-defined]
    return once


def obeys_key(handler: Callable[..., object]) -> bool:
    """Tell whether a handler obeys Idempotency-Key."""
    return getattr(handler, "idempotent", False)


class _Seal:
    """Hides an answer from readers of the table: it opens by the client's key, of which a hash is stored."""

    def __init__(self, keyed: KeyedRequest, key: str) -> None:
        self._keyed = keyed
        secret = b"\0".join((b"scopekit answer", keyed.tenant_id.bytes, keyed.user_id.bytes, key.encode()))
        self._cipher = AESGCM(_sha256(secret))

    async def keep(self, conn: Connection, response: Response) -> None:
        kept = {name: value for name, value in response.headers.items() if name not in _NOT_KEPT}
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, bytes(response.body), None)
        await idempotency.keep(conn, self._keyed, response.status_code, kept, sealed)

    def replayed(self, answered: Record) -> Response:
        sealed = answered["body"]
        body = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        return Response(body, answered["status"], {**answered["headers"], _REPLAYED: "true"})


def _key_of(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
        detail = f"Idempotency-Key must have 1 to {LONGEST_KEY} printable characters."
        raise InvalidInput(detail, code="invalid_parameter", field="idempotency-key")
    return key


def _fingerprint(request: Request, body: bytes) -> bytes:
    asked = f"{request.method} {request.url.path}?{request.url.query}".encode()
    return _sha256(_sha256(asked) + _sha256(body))


def _receiving(body: bytes) -> Callable[[], Awaitable["Message"]]:
    async def receive() -> "Message":
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()

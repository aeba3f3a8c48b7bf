"""Signing in: requests for a code, ceremonies of the other ways, and the account behind a proof. Hashes alone are kept.

Invariant: a code, a link or a ceremony works once, in the browser that began it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("people/sign_in")

CODE_DIGITS = 6
# Some 50 ms a guess: all million codes take longer than the ten minutes that one holds.
_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}


@dataclass(frozen=True)
class Proof:
    """The proof of a way in: an address, or an issuer's subject with the address that it vouches for, if any."""

    way: str
    email: str | None = None
    issuer: str | None = None
    subject: str | None = None
    name: str = ""


def new_code() -> str:
    """Make a code that a person types."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"


def hash_code(code: str) -> str:
    """Hash a code, with a salt; slow on purpose."""
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}${hashlib.scrypt(code.encode(), salt=salt, **_SCRYPT).hex()}"


def code_fits(code_hash: str, code: str) -> bool:
    """Tell whether this is the code; as slow."""
    salt, _, digest = code_hash.partition("$")
    return hmac.compare_digest(hashlib.scrypt(code.encode(), salt=bytes.fromhex(salt), **_SCRYPT).hex(), digest)


async def ask_for_code(conn: Connection, email: str, next_path: str, browser_hash: bytes) -> UUID:
    """Keep a request to sign in and queue its mail; the same for every address."""
    asked: UUID = await conn.fetchval(SQL.ask_for_code, email, next_path, browser_hash)
    return asked


async def try_code(conn: Connection, request_id: UUID, browser_hash: bytes) -> Record | None:
    """Spend one of five tries and return (email, next, code_hash); None when there is none left, or it is over."""
    return await conn.fetchrow(SQL.try_code, request_id, browser_hash)


async def use_code(conn: Connection, request_id: UUID) -> bool:
    """Use a request up; False when somebody was first."""
    return bool(await conn.fetchval(SQL.use_code, request_id))


async def read_link(conn: Connection, link_hash: bytes, browser_hash: bytes | None) -> Record | None:
    """Return (id, email, next, is_same_browser) of the request behind a link; None for one that is over."""
    return await conn.fetchrow(SQL.read_link, link_hash, browser_hash)


async def set_code(conn: Connection, request_id: UUID, code_hash: str, link_hash: bytes) -> bool:
    """Keep the hashes of a mail's code and link; False for a request that is over. As service_role."""
    return bool(await conn.fetchval(SQL.set_code, request_id, code_hash, link_hash))


async def code_email(conn: Connection, request_id: UUID, *, is_open: bool) -> str | None:
    """Return where a request's mail goes; None for an address that may not sign in. As service_role."""
    email: str | None = await conn.fetchval(SQL.code_email, request_id, is_open)
    return email


async def user_of(conn: Connection, proof: Proof, *, is_open: bool) -> UUID | None:
    """Return the account behind a proof, made where it may be, with the invitations for its address accepted.

    None for nobody we know, unless `is_open` lets everybody make an account.
    """
    user_id: UUID | None = await conn.fetchval(
        SQL.sign_in_user, proof.email, proof.issuer, proof.subject, proof.name, is_open
    )
    return user_id


async def begin_attempt(conn: Connection, way: str, secret_hash: bytes, next_path: str) -> UUID:
    """Begin a ceremony of a way in, for ten minutes; returns its id."""
    attempt: UUID = await conn.fetchval(SQL.begin_attempt, way, secret_hash, next_path)
    return attempt


async def take_attempt(conn: Connection, attempt_id: UUID, way: str, secret_hash: bytes) -> str | None:
    """Use a ceremony up and return where it leads; None for one that is used, over, or another browser's."""
    next_path: str | None = await conn.fetchval(SQL.take_attempt, attempt_id, way, secret_hash)
    return next_path


async def is_empty(conn: Connection) -> bool:
    """Tell whether there is no company yet."""
    return bool(await conn.fetchval(SQL.is_empty))


async def offer_setup(conn: Connection, code_hash: bytes) -> bool:
    """Put a new code in force for the first company; False where there is one already."""
    return bool(await conn.fetchval(SQL.offer_setup, code_hash))


async def set_up(
    conn: Connection, code_hash: bytes, *, company: str, email: str, flags: Mapping[str, Any]
) -> UUID | None:
    """Make the first company and return its owner; None for a wrong code, or where there is a company."""
    user_id: UUID | None = await conn.fetchval(SQL.set_up, code_hash, company, email, flags)
    return user_id

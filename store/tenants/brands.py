"""Branding of a tenant's documents: its words, colour and logo. All functions act for the tenant, under RLS."""

import secrets
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from store.errors import Forbidden, NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("tenants/brands")

NOT_YOURS = "Only an owner or an administrator changes what the company's documents look like."


def new_logo_key(tenant_id: UUID) -> str:
    """Return a key no logo has lain at: an old one that is still shown is never written over."""
    return f"{tenant_id}/brand/{secrets.token_hex(8)}"


async def get(conn: Connection) -> Record:
    """Return tenant_id, name, profile, accent, logo_path and display of the request's tenant; raises `NotFound`."""
    row = await conn.fetchrow(SQL.own_brand)
    if row is None:
        raise NotFound("This tenant does not exist any more.")
    return row


async def change(conn: Connection, profile: Mapping[str, Any], accent: str | None, display: Mapping[str, Any]) -> None:
    """Merge `profile` into the tenant's words, `display` into its choices, and set its colour.

    Raises `Forbidden` unless an administrator asks.
    """
    if await conn.fetchval(SQL.change_profile, profile, accent, display) is None:
        raise Forbidden(NOT_YOURS)


async def set_logo(conn: Connection, path: str | None) -> str | None:
    """Set or forget the logo, and return where the one before lies; raises `Forbidden` as `change` does."""
    row = await conn.fetchrow(SQL.set_logo, path)
    if row is None:
        raise Forbidden(NOT_YOURS)
    before: str | None = row["logo_path"]
    return before

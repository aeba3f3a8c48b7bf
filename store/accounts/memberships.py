"""The members of a company and their roles."""

from typing import Final, Literal
from uuid import UUID

from store.pool import Connection
from store.queries import Queries

SQL = Queries("accounts/memberships")

Role = Literal["viewer", "member", "admin", "owner"]
# Each may do what those before it may: as scopekit.role_rank() has it.
ROLES: Final[tuple[Role, ...]] = ("viewer", "member", "admin", "owner")


def reaches(role: Role | None, min_role: Role) -> bool:
    """Tell whether a role is at least another; no role reaches none."""
    return role is not None and ROLES.index(role) >= ROLES.index(min_role)


async def role_of(conn: Connection, tenant_id: UUID, user_id: UUID) -> Role | None:
    """Return a user's role in a tenant; None for a user without membership."""
    role: Role | None = await conn.fetchval(SQL.role_of, tenant_id, user_id)
    return role

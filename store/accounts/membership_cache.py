"""This process's cache of members' roles: rights come from the membership row as it is now, not from the token."""

from uuid import UUID

from store.accounts import memberships
from store.accounts.memberships import Role
from store.accounts.notified_cache import NotifiedCache
from store.pool import Connection


class MembershipCache(NotifiedCache[Role]):
    """Roles by tenant and user."""

    async def role(self, tenant_id: UUID, user_id: UUID) -> Role | None:
        """Return a user's role in a tenant; None for a user without membership. Raises `Unavailable`."""
        return await self._get(f"{tenant_id}/{user_id}")

    def forget_member(self, tenant_id: str, user_id: str) -> None:
        """Take note that a membership was made, changed or ended."""
        self.forget(f"{tenant_id}/{user_id}")

    async def _look(self, conn: Connection, key: str) -> Role | None:
        tenant_id, user_id = map(UUID, key.split("/"))
        return await memberships.role_of(conn, tenant_id, user_id)

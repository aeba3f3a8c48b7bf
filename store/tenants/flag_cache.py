"""The flags of tenants as this process knows them."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from config.flags import Flag, is_on
from store.accounts.notified_cache import NotifiedCache
from store.pool import Connection
from store.tenants import flags


class FlagCache(NotifiedCache[Mapping[str, Any]]):
    """Flags by the tenant's id."""

    async def is_on(self, tenant_id: UUID, flag: Flag) -> bool:
        """Tell whether a tenant's flag is on. Raises `Unavailable` when nobody knows."""
        return is_on(await self.flags(tenant_id), flag)

    async def flags(self, tenant_id: UUID) -> Mapping[str, Any]:
        """Return a tenant's nested flags; empty for one that has none. Raises `Unavailable`."""
        return await self._get(str(tenant_id)) or {}

    async def _look(self, conn: Connection, key: str) -> Mapping[str, Any] | None:
        return await flags.of_tenant(conn, UUID(key))

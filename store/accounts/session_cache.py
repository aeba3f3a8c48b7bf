"""The sessions and API keys in use, as this process knows them."""

from uuid import UUID

from store.accounts import api_keys, sessions
from store.accounts.api_keys import ApiKey
from store.accounts.notified_cache import NotifiedCache
from store.accounts.sessions import Session
from store.pool import Connection


class SessionCache(NotifiedCache[Session]):
    """Live sessions by id."""

    async def session(self, session_id: UUID) -> Session | None:
        """Return a live session; None for an unknown one, or one that is over. Raises `Unavailable`."""
        return await self._get(str(session_id))

    async def _look(self, conn: Connection, key: str) -> Session | None:
        return await sessions.read(conn, UUID(key))


class ApiKeyCache(NotifiedCache[ApiKey]):
    """Keys in force by id. A revoked one has no membership, so that it may nothing even while it is remembered."""

    async def key(self, key_id: UUID) -> ApiKey | None:
        """Return a key in force; None for an unknown or revoked one. Raises `Unavailable`."""
        return await self._get(str(key_id))

    async def _look(self, conn: Connection, key: str) -> ApiKey | None:
        return await api_keys.read(conn, UUID(key))

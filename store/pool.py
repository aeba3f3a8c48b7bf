"""Connections to PostgreSQL, each lent with the rights of its caller."""

from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import asyncpg
import orjson

from config.logging import bound_correlation_id
from store.errors import Unavailable
from store.fair_share import FairShare
from store.queries import Queries

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Record: TypeAlias = asyncpg.Record
Connection: TypeAlias = "asyncpg.Connection[Record] | PoolConnectionProxy[Record]"

SQL = Queries("pool")

ACQUIRE_SECONDS = 5.0
# Requests that may wait for a connection, of all tenants together; their statements take milliseconds.
PLACES = 256
# Above the 30 s statement_timeout of the roles, so that the server's own message wins where it can.
COMMAND_SECONDS = 35.0
# The database is away, restarting, too slow or at odds with somebody else: nothing was changed, ask again.
# asyncpg raises InternalClientError when a backend is terminated at the moment of a COMMIT.
DRIVER_TROUBLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
# The database answers and takes no change, with what to say of it: a standby, or one whose disk is full.
REFUSALS: dict[type[BaseException], str] = {
    asyncpg.ReadOnlySQLTransactionError: "The database is read-only.",
    asyncpg.DiskFullError: "The database's disk is full.",
}
# The same, and what we raise ourselves when no connection can be lent.
AWAY = (Unavailable, *DRIVER_TROUBLE)


class WrongRole(Exception):
    """A login does not act in the role that it must have; the message says how to mend it."""


# The transaction that the caller's further ones join, and whose it is: set by `spanning` for its block.
_SPANNING: ContextVar["tuple[Mapping[str, Any], Connection] | None"] = ContextVar("spanning", default=None)


class Database:
    """A pool whose connections act for a request's user, or for the process itself.

    As PostgREST does it: `role` and `request.jwt.claims` are set for one transaction, so that RLS applies to every
    statement in it and nothing of one request is left for the next. Tenants share the connections fairly, except for
    one in five, which is the process's own.
    """

    def __init__(self, pool: "asyncpg.Pool[Record]", name: str) -> None:
        size = pool.get_max_size()
        self._pool = pool
        self._name = name
        self._share = FairShare(size - max(1, size // 5) if size > 1 else 1, places=PLACES, seconds=ACQUIRE_SECONDS)

    @classmethod
    async def open(cls, url: str, *, name: str, size: int = 10, role: str | None = None, pooled: bool = False) -> Self:
        """Connect, failing fast; every connection acts in `role`, `name` shows in pg_stat_activity.

        Behind a transaction pooler (`pooled`) the role has to be the login's own. Raises `WrongRole` when it is not.
        """
        server_settings = {"application_name": name} | ({"role": role} if role and not pooled else {})
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=size,
            timeout=ACQUIRE_SECONDS,
            command_timeout=COMMAND_SECONDS,
            statement_cache_size=0 if pooled else 200,
            server_settings=server_settings,
            init=use_json,
            reset=_ask_nothing,
        )
        if role and pooled:
            await _require_role(pool, role)
        return cls(pool, name)

    async def close(self) -> None:
        """Close once every lent connection is back, or after 5 s by force."""
        try:
            await asyncpg.compat.wait_for(self._pool.close(), ACQUIRE_SECONDS)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def as_user(self, claims: Mapping[str, Any]) -> AsyncIterator[Connection]:
        """Lend a transaction in the role `authenticated` under these verified JWT claims.

        Raises `TooMany` when the tenant has its share of connections already, and as `connection` does.
        """
        spanning = _SPANNING.get()
        if spanning is not None and spanning[0] == claims:
            async with spanning[1].transaction():
                yield spanning[1]
            return
        tenant_id = claims.get("app_metadata", {}).get("tenant_id")
        async with self._share.slot(tenant_id), self.connection() as connection, connection.transaction():
            await connection.execute(SQL.act_as, orjson.dumps(claims).decode(), self._signature() or self._name)
            yield connection

    @asynccontextmanager
    async def spanning(self, claims: Mapping[str, Any]) -> AsyncIterator[Connection]:
        """Lend a transaction as `as_user` does, of which each further `as_user` of this caller in the block is a part.

        All of it commits at the end of the block, or none of it.
        """
        async with self.as_user(claims) as connection:
            before = _SPANNING.set((claims, connection))
            try:
                yield connection
            finally:
                _SPANNING.reset(before)

    @asynccontextmanager
    async def as_operator(self, claims: Mapping[str, Any]) -> AsyncIterator[Connection]:
        """Lend a transaction with the login's own rights, in which functions for operators see the caller."""
        async with self.as_system() as connection:
            text = orjson.dumps(claims).decode()
            await connection.execute("SELECT set_config('request.jwt.claims', $1, true)", text)
            yield connection

    @asynccontextmanager
    async def as_system(self, *, on_behalf_of: Hashable | None = None) -> AsyncIterator[Connection]:
        """Lend a transaction with the login's own rights: the functions of schema scopekit, and no table.

        `on_behalf_of` is the tenant, or the link of a customer, in whose share it counts; None is the process itself.
        Raises as `as_user` does.
        """
        slot = nullcontext() if on_behalf_of is None else self._share.slot(on_behalf_of)
        async with slot, self.connection() as connection, connection.transaction():
            signature = self._signature()
            if signature is not None:
                await connection.execute(SQL.sign, signature)
            yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection outside a transaction.

        Raises `Unavailable` when none is free, or the server not there, within 5 s.
        """
        try:
            connection = await self._pool.acquire(timeout=ACQUIRE_SECONDS)
        except (
            TimeoutError,
            OSError,
            asyncpg.PostgresConnectionError,
            asyncpg.CannotConnectNowError,
        ) as error:
            raise Unavailable("The database does not answer; nothing was changed. Try again.") from error
        try:
            yield connection
        finally:
            await self._pool.release(connection)

    def _signature(self) -> str | None:
        """Return the caller, and the request or job: in pg_stat_activity, and in the server's log where it has %a.

        As application_name, for the transaction. A comment in each statement would make each a new one to prepare.
        """
        correlation_id = bound_correlation_id()
        return None if correlation_id is None else f"{self._name} {correlation_id}"


async def _require_role(pool: "asyncpg.Pool[Record]", role: str) -> None:
    login, acting = await pool.fetchval("SELECT ARRAY[session_user::text, current_user::text]")
    if acting != role:
        pool.terminate()
        raise WrongRole(
            f"The login {login} acts as {acting}, not as {role}. Behind a pooler its role must be its own; as the "
            f"owner of the schema: ALTER ROLE {login} SET role = '{role}'; then restart the pooler's connections."
        )


async def use_json(connection: Connection) -> None:
    """Let json and jsonb go in and out as Python values."""
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, schema="pg_catalog", encoder=_encode, decoder=orjson.loads, format="text")


async def _ask_nothing(_connection: Connection) -> None:
    """Take a connection back as it is: all that is ever set here is set for one transaction, and that has ended.

    asyncpg's own way, RESET ALL and more, is a round trip for each loan: as much again as a small question costs.
    """


def _encode(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()

"""Refusal, expiry, revocation, flag-off and the end, as four clients take them: none is left asking for ever."""

from uuid import UUID, uuid4

import asyncpg
import pytest

from realtime.streams.stream_limits import Limits
from store.pool import Database
from tests.clients.conftest import OpenAll
from tests.clients.heard import Heard
from tests.realtime.stream_gateway import StreamGateway, tell
from tests.tenants import Tenant

pytestmark = pytest.mark.browser


def is_open(heard: Heard) -> bool:
    """Tell whether `open` has come."""
    return bool(heard.all("hello"))


async def all_stop(gateway: StreamGateway, heard: list[Heard], reason: str, status: int) -> None:
    """Wait until each has been told why, and then by its answer to come back no more."""
    for client in heard:
        await client.until(lambda client: client.all("stopped"))
        assert set(client.all("end")) == {reason}, client.name
        assert client.all("stopped") in ([status], [None]), client.name
    assert gateway.hub.stats()["streams"] == 0


async def test_a_refused_client_comes_back(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, open_all: OpenAll
) -> None:
    """`busy` stops nobody: each comes back after it, and has its stream when there is room."""
    gateway.hub.admission._limiter._limits = Limits(per_user=0)
    heard = await open_all(gateway, visit, tenant.token)
    for client in heard:
        await client.until(lambda client: len(client.all("end")) > 1)
    gateway.hub.admission._limiter._limits = Limits()
    for client in heard:
        await client.until(is_open)
        assert set(client.all("end")) == {"busy"}, client.name
    await tell(db, tenant, visit, "step.progress")
    for client in heard:
        await client.until(lambda client: client.seqs == [1])


async def test_a_client_whose_token_ran_out_stops(
    gateway: StreamGateway, tenant: Tenant, visit: UUID, open_all: OpenAll
) -> None:
    """`expired`, and 401 to the same token ever after."""
    heard = await open_all(gateway, visit, lambda: tenant.token(seconds=5))
    await all_stop(gateway, heard, "expired", 401)


async def test_a_removed_members_client_stops(
    gateway: StreamGateway, admin: asyncpg.Connection, tenant: Tenant, visit: UUID, open_all: OpenAll
) -> None:
    """`revoked`, and 403 though its token still lives."""
    heard = await open_all(gateway, visit, tenant.token)
    for client in heard:
        await client.until(is_open)
    await admin.execute("DELETE FROM memberships WHERE user_id = $1", tenant.user_id)
    await all_stop(gateway, heard, "revoked", 403)


async def test_a_client_stops_when_the_flag_is_turned_off(
    gateway: StreamGateway, admin: asyncpg.Connection, tenant: Tenant, visit: UUID, open_all: OpenAll
) -> None:
    """`disabled`, and 404."""
    heard = await open_all(gateway, visit, tenant.token)
    for client in heard:
        await client.until(is_open)
    await admin.execute("UPDATE tenant_settings SET feature_flags = '{}' WHERE tenant_id = $1", tenant.id)
    await all_stop(gateway, heard, "disabled", 404)


async def test_a_client_sees_every_event_and_stops_at_the_end(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, open_all: OpenAll
) -> None:
    """Cut off on the way it resumes without loss; after the end the 204 stops it for good."""
    heard = await open_all(gateway, visit, tenant.token)
    for client in heard:
        await client.until(is_open)
    await tell(db, tenant, visit, "job.queued", "step.progress", job_id=uuid4())
    for client in heard:
        await client.until(lambda client: client.seqs == [1, 2])
    await gateway.hub.drain(0)
    await tell(db, tenant, visit, "step.progress", payload={"said": "a: b\r\n\n👷\u2028"})
    gateway.hub.admission.draining = False
    await tell(db, tenant, visit, "step.progress", "job.completed")
    await all_stop(gateway, heard, "completed", 204)
    assert {client.name: client.seqs for client in heard} == {client.name: [1, 2, 3, 4, 5] for client in heard}

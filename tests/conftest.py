"""The fixtures every suite shares: real services, a tenant of one's own, the app in process or as processes."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

# What takes long to import is imported by the fixture that needs it: a test without fixtures costs a second, not ten.
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import asyncpg
    import httpx
    from starlette.applications import Starlette

    from config.settings import Settings
    from devstack.stack import Endpoints, Stack
    from store.objects.objects import ObjectStore
    from store.pool import Database
    from tests.product import Product
    from tests.stack import Services
    from tests.support.contract import Witness
    from tests.tenants import Tenant

_STACK: pytest.StashKey[Stack] = pytest.StashKey()
_ENDPOINTS: pytest.StashKey[Endpoints] = pytest.StashKey()


# A busy machine is no fault of an example; in CI every run tries the same ones, so that a red run can be repeated.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=bool(os.environ.get("SCOPEKIT_CI")))
hypothesis.settings.register_profile("deep", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("suite")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each xdist worker where the services are: they belong to the process that outlives all workers."""
    node.workerinput["endpoints"] = dataclasses.asdict(_started(node.config))


def _started(config: pytest.Config) -> Endpoints:
    """Start the stack when it is first needed; the servers die with this process."""
    from devstack.stack import Stack
    from tests.stack import make_template

    if _STACK not in config.stash:
        config.stash[_STACK] = Stack(Path(tempfile.mkdtemp(prefix="scopekit-tests-")), durable=False)
        config.stash[_ENDPOINTS] = config.stash[_STACK].start()
        asyncio.run(make_template(config.stash[_ENDPOINTS]))
    return config.stash[_ENDPOINTS]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put last what has the whole product running in its database: its worker would take the other tests' jobs."""
    items.sort(key=lambda item: "server" in getattr(item, "fixturenames", ()))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the stack when the last worker is done."""
    stack = config.stash.get(_STACK, None)
    if stack is not None:
        stack.stop()
        shutil.rmtree(stack.directory)


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Endpoints:
    """Where the embedded servers are."""
    from devstack.stack import Endpoints

    workerinput = getattr(request.config, "workerinput", None)
    return Endpoints(**workerinput["endpoints"]) if workerinput else _started(request.config)


@pytest.fixture(scope="session")
def services(stack: Endpoints, request: pytest.FixtureRequest) -> Iterator[Services]:
    """Give this xdist worker its own database, bucket and Redis number; at the end look at each of its events."""
    from tests.stack import make_bucket, make_services, xdist_worker
    from tests.support.event_contract import violations_in_table

    services = asyncio.run(make_services(stack, xdist_worker(request.config)))
    asyncio.run(make_bucket(services))
    yield services
    assert asyncio.run(violations_in_table(services.admin_url)) == []


@pytest.fixture
def settings(services: Services) -> Settings:
    """Settings of a process that uses this worker's services."""
    return services.settings()


@pytest.fixture
async def admin(services: Services) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Connect as the owner of the schema, past RLS."""
    import asyncpg

    from store.pool import use_json

    connection = await asyncpg.connect(services.admin_url)
    await use_json(connection)
    yield connection
    await connection.close()


@pytest.fixture
async def db(services: Services) -> AsyncIterator[Database]:
    """Connect as the gateway does."""
    from store.pool import Database

    database = await Database.open(services.gateway_url, name="test-gateway", size=4)
    yield database
    await database.close()


@pytest.fixture
async def service(services: Services) -> AsyncIterator[Database]:
    """Connect as a worker does."""
    from store.pool import Database

    database = await Database.open(services.worker_url, name="test-worker", size=4, role="service_role")
    yield database
    await database.close()


@pytest.fixture
async def tenant(admin: asyncpg.Connection[asyncpg.Record]) -> Tenant:
    """Make a tenant with every flag on and a small price book."""
    from tests.tenants import make_tenant

    return await make_tenant(admin)


@pytest.fixture
async def other_tenant(admin: asyncpg.Connection[asyncpg.Record]) -> Tenant:
    """Make a second tenant, whom the first must never see."""
    from tests.tenants import make_tenant

    return await make_tenant(admin)


@pytest.fixture
async def objects(settings: Settings) -> AsyncIterator[ObjectStore]:
    """Open this worker's bucket."""
    from store.objects.objects import ObjectStore

    async with ObjectStore.open(settings) as store:
        yield store


@pytest.fixture
async def app(settings: Settings, admin: asyncpg.Connection[asyncpg.Record]) -> AsyncIterator[Starlette]:
    """Open the gateway inside the test's own loop; limits that outlast a gateway begin anew."""
    from gateway.app import create_app

    await admin.execute("DELETE FROM scopekit.limit_buckets")
    application = create_app(settings)
    async with application.router.lifespan_context(application) as state:
        assert state is not None
        application.state.context = state["context"]
        yield application


@pytest.fixture
async def client(app: Starlette, witness: Witness) -> AsyncIterator[httpx.AsyncClient]:
    """Call the gateway in process; a stream needs `server`, as this transport buffers whole answers."""
    import httpx

    context = app.state.context

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"context": context}
        await witness.call(app, scope, receive, send)

    transport = httpx.ASGITransport(app=with_state, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as caller:
        yield caller


@pytest.fixture(scope="session")
def _document() -> Witness:
    """Make the document once."""
    from gateway.app import all_routes
    from tests.support.contract import Witness

    return Witness(all_routes())


@pytest.fixture
def witness(_document: Witness) -> Iterator[Witness]:
    """Hold every answer of this test to `/openapi.json`."""
    _document.broken.clear()
    yield _document
    assert not _document.broken


@pytest.fixture(scope="session")
def server(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Run the gateway and a worker as processes, once per xdist worker."""
    from tests.product import start_product

    with start_product(services, tmp_path_factory.mktemp("product")) as product:
        yield product

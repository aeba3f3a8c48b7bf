"""The documented topology behind a transaction pooler: PgBouncer before the database, LISTEN past it."""

from collections.abc import Iterator

import httpx
import pytest

from config.settings import load_settings
from devstack.stack import Endpoints
from store.pool import Database, WrongRole
from tests.deploy.own import Admin, own_services
from tests.deploy.proxies.pgbouncer import PROGRAM, pgbouncer
from tests.product import Product, start_product
from tests.realtime.feed.watcher import watch
from tests.stack import Services
from tests.support.ci import skip_or_fail
from tests.tenants import make_tenant


@pytest.fixture(scope="module")
def services(stack: Endpoints, request: pytest.FixtureRequest) -> Services:
    """Let no other worker take the job."""
    return own_services(stack, request)


@pytest.fixture(scope="module")
def pooled(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run PgBouncer; the variables that lead through it."""
    if PROGRAM is None:
        skip_or_fail("needs Debian's pgbouncer")
    with pgbouncer(tmp_path_factory.mktemp("pgbouncer"), services) as variables:
        yield variables


@pytest.fixture(scope="module")
def product(services: Services, pooled: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Run gateway and worker behind it."""
    with start_product(services, tmp_path_factory.mktemp("product"), **pooled) as running:
        yield running


async def test_the_main_job_goes_through_a_pooler(services: Services, admin: Admin, product: Product) -> None:
    """A visit, its estimate by the worker, and every event on the stream."""
    tenant = await make_tenant(admin)
    async with httpx.AsyncClient(base_url=product.url, headers=tenant.headers, timeout=60) as client:
        visit = (await client.post("/v1/visits", json={"notes": "Replace 3 GFCI outlets."})).json()["id"]
        async with watch(product.url, f"/v1/visits/{visit}/progress", headers=tenant.headers, last_id=0) as stream:
            assert (await client.post(f"/v1/visits/{visit}/estimate")).status_code == 202
            await stream.until_closed()
        assert stream.events[-1].json["type"] == "job.completed"
        lines = (await client.get(f"/v1/visits/{visit}/estimate")).json()["lines"]
        assert [line["description"] for line in lines]


async def test_a_login_without_the_role_is_told_what_to_run(
    services: Services, admin: Admin, pooled: dict[str, str]
) -> None:
    """Behind a pooler no connection can ask for it, so nothing is done with too few rights."""
    settings = load_settings(**{name.lower(): value for name, value in (services.environment() | pooled).items()})
    with pytest.raises(WrongRole, match=r"ALTER ROLE scopekit_gateway SET role = 'service_role'"):
        await Database.open(str(settings.database_url), name="test", size=1, role="service_role", pooled=True)

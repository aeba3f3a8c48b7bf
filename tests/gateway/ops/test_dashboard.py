"""The operators' page as it is kept: nobody waits for it in vain, and nobody turns in circles."""

import asyncio

from starlette.templating import Jinja2Templates

from gateway.lifespan import HERE
from gateway.ops.dashboard import OpsDashboard
from store.pool import Database
from tests.stack import Services
from tests.support.servers.proxy import proxy_to
from tests.tenants import Tenant

WAIT_SECONDS = 30


async def test_a_deed_during_a_reading_has_it_read_once_more(services: Services, operator: Tenant) -> None:
    """What was read may be older than the deed: the next look reads again, and then nothing hurries."""
    async with asyncio.timeout(WAIT_SECONDS), proxy_to(str(services.settings().database_url)) as proxy:
        db = await Database.open(proxy.url, name="test")
        dashboard = OpsDashboard(db, Jinja2Templates(HERE / "templates").env)
        proxy.black_hole()
        reading = asyncio.create_task(dashboard.sections(operator.claims))
        await asyncio.sleep(0)  # it has begun, and waits for the database
        dashboard.changed()
        proxy.mend()
        before = await reading
        assert await dashboard.sections(operator.claims) is not before
        waiting = asyncio.create_task(dashboard.until_due(WAIT_SECONDS))
        done, _ = await asyncio.wait({waiting}, timeout=0.1)
        waiting.cancel()
        await db.close()
    assert not done

"""What each kind of request costs: `python -m benchmarks.request_costs`; writes docs/reference/request-costs.md.

The gateway runs in this process, over servers of its own. CPU is this process's, the client included, which `GET
/livez` shows; database time is how long its statements took, from here.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from devstack.stack import Stack
from gateway.app import create_app
from store.pool import Database, use_json
from tests.stack import make_bucket, make_services, make_template
from tests.support.request_costs import Cost, measure
from tests.tenants import make_tenant

TABLE = Path(__file__).parents[1] / "docs" / "reference" / "request-costs.md"
TIMES = 15
_HEAD = """# What requests cost

Written by `python -m benchmarks.request_costs`, on two cores. A test holds every request to its statements, `BEGIN` and
`COMMIT` included. CPU is the gateway's and the client's together: `GET /livez` shows what the client and the framework
take. The last column is CPU and database time for each byte that the client sends: the higher, the cheaper an attack.
Limits by user, company and address bound the costliest; see [how to deploy](../how-to/deploy.md).

| Request | Status | Statements | Database ms | CPU ms | Bytes in | Bytes out | µs per byte in |
|---|---|---|---|---|---|---|---|
"""


def table(costs: list[Cost]) -> str:
    """Return the document."""
    return _HEAD + "".join(map(_row, costs))


def _row(cost: Cost) -> str:
    per_byte = (cost.database_ms + cost.cpu_ms) * 1000 / cost.bytes_in
    figures = f"{cost.database_ms:.1f} | {cost.cpu_ms:.1f} | {cost.bytes_in} | {cost.bytes_out} | {per_byte:.1f}"
    return f"| `{cost.name}` | {cost.status} | {cost.statements} | {figures} |\n"


async def run(directory: Path) -> list[Cost]:
    """Open a gateway over a new stack and measure it."""
    with Stack(directory) as endpoints:
        await make_template(endpoints)
        services = await make_services(endpoints, "costs")
        await make_bucket(services)
        admin = await asyncpg.connect(services.admin_url)
        await use_json(admin)
        service = await Database.open(services.worker_url, name="costs", size=2, role="service_role")
        app = create_app(services.settings())
        async with app.router.lifespan_context(app) as state:
            assert state is not None
            context = state["context"]

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                scope["state"] = {"context": context}
                await app(scope, receive, send)

            transport = httpx.ASGITransport(app=with_state)
            try:
                async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
                    return await measure(client, service, admin, await make_tenant(admin), times=TIMES)
            finally:
                await service.close()
                await admin.close()


def main() -> None:
    """Measure, print and write the table."""
    with tempfile.TemporaryDirectory(prefix="scopekit-bench-") as directory:
        text = table(asyncio.run(run(Path(directory) / "stack")))
    TABLE.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

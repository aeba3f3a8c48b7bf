"""From a cancel to the model call that ends: `python -m benchmarks.cancel [--runs N]`.

A stack, a gateway and a worker of its own; the provider is a server on loopback that hangs. Each run asks for an
estimate, waits until the provider has the request, cancels over HTTP, and takes two times from just before the cancel
was sent: until the provider sees the worker hang up, and until the job's row says `cancelled`.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.realtime.site import Site, fill
from devstack.stack import Stack
from tests.jobs.kinds.estimate.engines.api_double import ApiDouble, api_double
from tests.product import Product, start_product

LIMIT_MS = 500.0
POLL_SECONDS = 0.001
DEADLINE_SECONDS = 30.0


class Took(NamedTuple):
    """One run, in ms from the request."""

    hung_up: float
    recorded: float


async def one(client: httpx.AsyncClient, double: ApiDouble) -> Took:
    """Ask for an estimate and cancel it once the provider has been asked."""
    double.left.clear()
    asked = len(double.asked)
    visit = (await client.post("/v1/visits", json={"title": "Hall", "notes": "Replace two doors."})).json()["id"]
    job = (await client.post(f"/v1/visits/{visit}/estimate")).json()["id"]
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(double.asked) == asked:  # noqa: ASYNC110 - the server runs in a thread of its own
            await asyncio.sleep(POLL_SECONDS)
        began = time.monotonic()
        (await client.post(f"/v1/jobs/{job}/cancel")).raise_for_status()
        while (await client.get(f"/v1/jobs/{job}")).json()["status"] != "cancelled":
            pass
        recorded = time.monotonic()
        await asyncio.to_thread(double.left.wait, DEADLINE_SECONDS)
    return Took((double.left_at - began) * 1000, (recorded - began) * 1000)


@asynccontextmanager
async def caller(site: Site, product: Product) -> AsyncIterator[httpx.AsyncClient]:
    """Speak HTTP as a tenant's user."""
    headers = site.tenants[0].headers
    async with httpx.AsyncClient(base_url=product.url, headers=headers, timeout=DEADLINE_SECONDS) as client:
        yield client


async def measure(site: Site, product: Product, double: ApiDouble, runs: int) -> list[Took]:
    """Do the runs one after the other, after one that is not counted."""
    async with caller(site, product) as client:
        return [await one(client, double) for _ in range(runs + 1)][1:]


def report(name: str, times: list[float]) -> None:
    """Print a line of the table."""
    ordered = sorted(times)
    p95 = ordered[min(len(ordered) - 1, round(len(ordered) * 0.95))]
    late = sum(ms > LIMIT_MS for ms in times)
    print(
        f"  {name:<34} p50 {statistics.median(times):7.1f}  p95 {p95:7.1f}  max {ordered[-1]:7.1f} ms; "
        f"{late} of {len(times)} over {LIMIT_MS:.0f} ms"
    )


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scopekit-bench-") as name, api_double() as double:
        directory = Path(name)
        double.hangs = True
        engine = {"ESTIMATE_ENGINE": "openai", "OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": double.url}
        with Stack(directory / "stack") as endpoints:
            site = asyncio.run(fill(endpoints, directory, visits=0, streams=1))
            with start_product(site.services, directory, **engine) as product:
                times = asyncio.run(measure(site, product, double, options.runs))
    report("until the provider is hung up on", [took.hung_up for took in times])
    report("until the job is cancelled", [took.recorded for took in times])


if __name__ == "__main__":
    main()

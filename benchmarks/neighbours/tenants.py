"""What the tenants do: four kinds of busy neighbour, each some clients that never rest, and a quiet one."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

import httpx

from benchmarks.neighbours.house import WORDS, Side, large_picture, price_file

TIMEOUT_SECONDS = 120.0
PAUSE_SECONDS = 0.02
OVER_THE_SHARE = (429, 503)
OUR_PAGE = {"sec-fetch-site": "same-origin", "accept": "text/html"}

Ask = Callable[[int], Awaitable[httpx.Response]]


@dataclass
class Done:
    """What came of a neighbour: answers, refusals, errors, and the seconds it took."""

    answered: int = 0
    refused: int = 0
    failed: int = 0
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """How much was done."""
        return self.answered / self.seconds if self.seconds else 0.0


@dataclass
class Seen:
    """What the quiet tenant and its load balancer saw."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    unready: int = 0


@asynccontextmanager
async def searches(side: Side) -> AsyncIterator[tuple[int, Ask]]:
    """Yield 24 clients that look for words, some mistyped, in long descriptions."""
    chance = Random(3)

    def words() -> str:
        return " ".join(chance.sample(WORDS, 3)).replace("oo", "o")

    async with httpx.AsyncClient(base_url=side.url, headers=side.busy.headers, timeout=TIMEOUT_SECONDS) as client:
        yield 24, lambda _: client.get("/v1/price-items", params={"q": words()})


@asynccontextmanager
async def imports(side: Side) -> AsyncIterator[tuple[int, Ask]]:
    """Yield 11 clients that import 3 MB, each time with other prices."""
    body, headers = price_file(), side.busy.headers | {"content-type": "text/csv"}
    changes = itertools.count(1000)

    def repriced() -> bytes:
        return body.replace(b",each,", b",each,%d" % next(changes))

    async with httpx.AsyncClient(base_url=side.url, headers=headers, timeout=TIMEOUT_SECONDS) as client:
        yield 11, lambda _: client.post("/v1/price-items/import", content=repriced())


@asynccontextmanager
async def pictures(side: Side) -> AsyncIterator[tuple[int, Ask]]:
    """Yield 6 clients that post a PNG of 99 megapixels."""
    body, headers = large_picture(), side.busy.headers | {"content-type": "image/png"}
    async with httpx.AsyncClient(base_url=side.url, headers=headers, timeout=TIMEOUT_SECONDS) as client:
        yield 6, lambda _: client.post(f"/v1/visits/{side.visit}/media", content=body)


@asynccontextmanager
async def documents(side: Side) -> AsyncIterator[tuple[int, Ask]]:
    """Yield 18 clients, each a customer with a link, that take a PDF of 500 lines home."""
    customers = [httpx.AsyncClient(timeout=TIMEOUT_SECONDS) for _ in side.links]
    for customer, link in zip(customers, side.links, strict=True):
        answer = await customer.post(f"{link}/open", headers=OUR_PAGE)
        assert answer.is_redirect, answer.status_code
    yield len(customers), lambda number: customers[number].get(f"{side.links[number]}/estimate.pdf")
    for customer in customers:
        await customer.aclose()


NEIGHBOURS = {"searches": searches, "imports": imports, "pictures": pictures, "documents": documents}


def run_neighbour(kind: str, side: Side, seconds: float) -> Done:
    """Have a busy tenant ask for so long; what is under way at the end is waited for, and counts."""
    return asyncio.run(_neighbour(kind, side, seconds))


async def _neighbour(kind: str, side: Side, seconds: float) -> Done:
    done = Done()
    async with NEIGHBOURS[kind](side) as (clients, ask):
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(_keep_asking(ask, number, began + seconds, done))
        done.seconds = time.monotonic() - began
    return done


async def _keep_asking(ask: Ask, number: int, until: float, done: Done) -> None:
    while time.monotonic() < until:
        try:
            answer = await ask(number)
        except httpx.TransportError:
            done.failed += 1
            continue
        if answer.status_code in OVER_THE_SHARE:
            done.refused += 1
            await asyncio.sleep(float(answer.headers["retry-after"]))
        elif answer.is_success:
            done.answered += 1
        else:
            done.failed += 1


async def look_around(side: Side, stop: asyncio.Event) -> Seen:
    """Have the quiet tenant look at its pages, one after the other, and a load balancer ask whether we are ready."""
    seen = Seen()
    async with asyncio.TaskGroup() as group:
        group.create_task(_pages(side, stop, seen))
        group.create_task(_readiness(side, stop, seen))
    return seen


async def _pages(side: Side, stop: asyncio.Event, seen: Seen) -> None:
    visit = f"/v1/visits/{side.quiet_visit}"
    pages = ["/v1/visits", visit, f"{visit}/media", "/v1/price-items?q=gutter", "/v1/me", "/v1/price-items"]
    async with httpx.AsyncClient(base_url=side.url, headers=side.quiet.headers, timeout=TIMEOUT_SECONDS) as client:
        for page in itertools.cycle(pages):
            if stop.is_set():
                return
            began = time.perf_counter()
            answer = await client.get(page)
            seen.seconds.append(time.perf_counter() - began)
            seen.failed += not answer.is_success
            await asyncio.sleep(PAUSE_SECONDS)


async def _readiness(side: Side, stop: asyncio.Event, seen: Seen) -> None:
    async with httpx.AsyncClient(base_url=side.url, timeout=TIMEOUT_SECONDS) as client:
        while not stop.is_set():
            seen.unready += not (await client.get("/readyz")).is_success
            await asyncio.sleep(0.5)

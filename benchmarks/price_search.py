"""A price book of 50,000 items, searched by its owner and by a drafted line: `python -m benchmarks.price_search`.

Prints p50 and p99 of each over the same words; the goal is a p99 of at most 20 ms for the owner's search.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import quantiles

import asyncpg

from devstack.stack import Stack
from jobs.kinds.estimate.steps.pricing import book_of
from store.estimates import price_book
from store.pool import Connection, Database, use_json
from tests.stack import make_services, make_template
from tests.tenants import Tenant, make_tenant

_MADE = (
    "oak",
    "pine",
    "cedar",
    "steel",
    "copper",
    "vinyl",
    "aluminum",
    "ceramic",
    "glass",
    "concrete",
    "bamboo",
    "granite",
    "brass",
    "slate",
    "rubber",
)
_KINDS = (
    "interior",
    "exterior",
    "hung",
    "double",
    "single",
    "insulated",
    "flush",
    "recessed",
    "wall",
    "floor",
    "ceiling",
    "corner",
    "heavy",
    "light",
)
_THINGS = (
    "door",
    "window",
    "outlet",
    "switch",
    "gutter",
    "downspout",
    "railing",
    "stair",
    "fence",
    "gate",
    "tile",
    "shingle",
    "vent",
    "duct",
    "faucet",
    "toilet",
    "sink",
    "vanity",
    "cabinet",
    "shelf",
    "beam",
    "joist",
    "post",
    "panel",
    "breaker",
    "fan",
    "lamp",
    "heater",
    "valve",
    "pipe",
    "drain",
)
_SIZES = [f"{width}x{height}" for width in range(2, 40, 2) for height in range(2, 40, 2)]
_UNITS = ["each", "lf", "sq ft", "hour", "squares"]


async def fill(conn: Connection, tenant: Tenant, items: int) -> None:
    """Write a book whose items share words, as those of a supplier's list do."""
    chance = random.Random(7)
    rows = [
        (
            tenant.id,
            f"SUP-{number:06d}",
            " ".join(chance.choice(words) for words in (_MADE, _KINDS, _THINGS, _SIZES)),
            "Supply",
            chance.choice(_UNITS),
            chance.randint(1, 900),
        )
        for number in range(items)
    ]
    columns = ["tenant_id", "code", "description", "category", "unit", "unit_price"]
    await conn.copy_records_to_table("price_items", records=rows, columns=columns)
    await conn.execute("VACUUM ANALYZE price_items")


def queries(count: int) -> list[str]:
    """Draw what is typed: two or three words, one word, a slip of the finger, the beginning of a code or of a word."""
    chance = random.Random(8)
    drawn = []
    for number in range(count):
        made, kind, thing = (chance.choice(words) for words in (_MADE, _KINDS, _THINGS))
        slip = thing[:-2] + thing[-1] + thing[-2]
        words = (f"{made} {thing}", f"{made} {kind} {thing}", thing, f"{kind} {slip}", f"SUP-0{number:03d}", kind[:2])
        drawn.append(words[number % len(words)])
    return drawn


async def timed(name: str, words: list[str], search: Callable[[str], Awaitable[object]]) -> None:
    """Time each search and print the shares."""
    for word in words[:20]:
        await search(word)
    taken = []
    for word in words:
        started = time.perf_counter()
        await search(word)
        taken.append((time.perf_counter() - started) * 1000)
    shares = quantiles(taken, n=100)
    print(f"  {name:<44} p50 {shares[49]:7.2f} ms   p99 {shares[98]:7.2f} ms   most {max(taken):7.2f} ms")


async def run(items: int, searches: int, directory: Path) -> None:
    """Fill a book and search it."""
    with Stack(directory) as endpoints:
        await make_template(endpoints)
        services = await make_services(endpoints, "bench")
        admin = await asyncpg.connect(services.admin_url)
        await use_json(admin)
        tenant = await make_tenant(admin)
        await fill(admin, tenant, items)
        words = queries(searches)
        db = await Database.open(services.gateway_url, name="bench", size=2)
        print(f"{items:,} items, {searches} searches")
        try:

            async def owner(word: str, unit: str = "") -> object:
                async with db.as_user(tenant.claims) as conn:
                    return await price_book.find(conn, word, 50, unit=unit)

            started = time.perf_counter()
            book, _ = await book_of(admin, tenant.id)
            print(f"  {'the book, read for an estimate':<44} {time.perf_counter() - started:.2f} s")

            async def line(word: str) -> object:
                return book.rank(word)

            await timed("owner's search, with its transaction", words, owner)
            await timed("owner's search by a unit", words, lambda word: owner(word, "lf"))
            await timed("a drafted line among the items", words, line)
        finally:
            await db.close()
            await admin.close()


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--searches", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scopekit-bench-") as directory:
        asyncio.run(run(options.items, options.searches, Path(directory)))


if __name__ == "__main__":
    main()

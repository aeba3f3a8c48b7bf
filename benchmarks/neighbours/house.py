"""A gateway with a busy and a quiet tenant, run from this checkout or from an older one beside it."""

import asyncio
import csv
import io
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from PIL import Image

from devstack.stack import Endpoints
from store.estimates import estimates
from store.estimates.estimates import NewEstimate, NewLine
from store.pool import Connection, use_json
from tests.product import end, free_port, wait_until_ready
from tests.stack import Services, make_bucket, make_services
from tests.tenants import Tenant, make_tenant

ITEMS = 16_000
LONG = 490
FILE_BYTES = 3_000_000
LINES = 500
SIDE = (11_000, 9_000)  # 99 megapixels
LINKS = 18
WORDS = [
    *("interior", "exterior", "door", "window", "oak", "pine", "cedar", "steel", "copper", "install", "remove", "roof"),
    *("replace", "gutter", "shingle", "paint", "coat", "primer", "drywall", "repair", "patch", "tile", "floor"),
    *("labor", "material", "disposal", "delivery", "standard", "premium", "grade", "linear", "square", "foot"),
    *("complete", "system", "assembly", "manufacturer", "specification", "warranty"),
]
_MIGRATE = "import asyncio, sys; from store.schema.migrate import migrate; asyncio.run(migrate(sys.argv[1]))"


@dataclass(frozen=True)
class Side:
    """One version of the product at work: its gateway, and what its two tenants have."""

    name: str
    url: str
    busy: Tenant
    quiet: Tenant
    visit: UUID
    quiet_visit: UUID
    links: tuple[str, ...]


@contextmanager
def open_side(name: str, checkout: Path, endpoints: Endpoints, directory: Path) -> Iterator[Side]:
    """Make a database by this checkout's migrations, fill it, and run its gateway."""
    services = asyncio.run(_database(endpoints, name, checkout))
    side, port = asyncio.run(_fill(services, name)), free_port()
    environment = services.environment(PORT=str(port), LOG_LEVEL="error", DRAIN_SECONDS="1")
    log = directory / f"{name}.log"
    with ExitStack() as opened:
        output = opened.enter_context(log.open("wb"))
        arguments = [sys.executable, "-m", "gateway", "serve"]
        running = subprocess.Popen(arguments, cwd=checkout, env=environment, stdout=output, stderr=output)
        opened.callback(end, running)
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, running, log)
        yield asyncio.run(_with_links(replace(side, url=url)))


def price_file() -> bytes:
    """Make 3 MB of items; a second import reprices them."""
    chance, out = random.Random(2), io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["code", "description", "category", "unit", "unit_price"])
    number = 0
    while out.tell() < FILE_BYTES:
        writer.writerow([f"I-{number:06d}", _text(chance, 170), "Supply", "each", chance.randint(1, 900)])
        number += 1
    return out.getvalue().encode()


def large_picture() -> bytes:
    """Make a PNG that is small to send and large to open."""
    out = io.BytesIO()
    Image.new("RGB", SIDE, "olive").save(out, "PNG")
    return out.getvalue()


async def _database(endpoints: Endpoints, name: str, checkout: Path) -> Services:
    services = await make_services(endpoints, name)
    admin = await asyncpg.connect(services.admin_url.rpartition("/")[0] + "/postgres")
    database = services.admin_url.rpartition("/")[2]
    await admin.execute(f"DROP DATABASE {database}")
    await admin.execute(f"CREATE DATABASE {database}")
    await admin.close()
    arguments = [sys.executable, "-c", _MIGRATE, services.admin_url]
    await asyncio.to_thread(subprocess.run, arguments, cwd=checkout, check=True)
    await make_bucket(services)
    return services


async def _fill(services: Services, name: str) -> Side:
    admin = await asyncpg.connect(services.admin_url)
    await use_json(admin)
    busy, quiet = await make_tenant(admin), await make_tenant(admin)
    await _fill_book(admin, busy)
    visits = [await _visit(admin, tenant) for tenant in (busy, quiet)]
    lines = [
        NewLine(
            _text(random.Random(number), 80),
            Decimal(number + 1),
            "each",
            Decimal("12.50"),
            category="Supply",
            needs_review=True,
        )
        for number in range(LINES)
    ]
    new = NewEstimate(busy.id, visits[0], "local", "local", "USD", Decimal("0.08"), lines, created_by=busy.user_id)
    async with admin.transaction():
        await estimates.save_version(admin, new)
    await admin.execute("ANALYZE")
    await admin.close()
    return Side(name, "", busy, quiet, visits[0], visits[1], ())


async def _fill_book(admin: Connection, tenant: Tenant) -> None:
    chance = random.Random(1)
    rows = [
        (tenant.id, f"L-{number:06d}", _text(chance, LONG), "Supply", "each", chance.randint(1, 900))
        for number in range(ITEMS)
    ]
    columns = ["tenant_id", "code", "description", "category", "unit", "unit_price"]
    await admin.copy_records_to_table("price_items", records=rows, columns=columns)


async def _visit(admin: Connection, tenant: Tenant) -> UUID:
    statement = "INSERT INTO site_visits (tenant_id, title) VALUES ($1, 'Porch') RETURNING id"
    found: UUID = await admin.fetchval(statement, tenant.id)
    return found


async def _with_links(side: Side) -> Side:
    async with httpx.AsyncClient(base_url=side.url, headers=side.busy.headers, timeout=60) as client:
        estimate: dict[str, Any] = (await client.get(f"/v1/visits/{side.visit}/estimate")).json()
        path = f"/v1/estimates/{estimate['id']}/shares"
        links = [(await client.post(path, json={})).json()["url"] for _ in range(LINKS)]
    return replace(side, links=tuple(links))


def _text(chance: random.Random, length: int) -> str:
    words: list[str] = []
    while sum(map(len, words)) + len(words) < length:
        made_up = "".join(chance.choice("abcdefghijklmnop") for _ in range(7))
        words.append(chance.choice(WORDS) if chance.random() < 0.8 else made_up)
    return " ".join(words)[:length]

"""The demo tenant: its flags, its user and a price book, made once and then left as it was changed."""

import asyncio
import csv
import sys
from decimal import Decimal
from pathlib import Path

import asyncpg

from config.settings import SettingsError, load_settings
from gateway.pages.demo import TENANT_ID, USER_ID
from store.objects.objects import ObjectStore
from store.ops import operators
from store.pool import use_json
from store.tenants import tenants

PRICE_BOOK = Path(__file__).parent / "demo_data" / "price_book.csv"
FLAGS = {"visits": {"enabled": True, "ai_estimation_enabled": True, "ws_progress_enabled": True}}
EMAIL = "demo@harborpine.example"  # its codes are at /dev/mail
PROFILE = {
    "business_name": "Harbor & Pine Builders",
    "phone": "+1 (555) 010-0142",
    "email": "office@harborpine.example",
    "address": "12 Quay Street, Port Haven",
    "license": "GC-204417",
    "timezone": "America/New_York",
    "terms": "Half on acceptance, half on completion. Prices hold until the date above.",
}


async def seed(url: str) -> bool:
    """Make the missing parts of the demo tenant; tells whether its price book was added."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await use_json(connection)
        async with connection.transaction():
            sql = tenants.SQL
            await connection.execute(sql.upsert_tenant, TENANT_ID, "Harbor & Pine Builders")
            await connection.execute(sql.upsert_settings, TENANT_ID, FLAGS, "USD", Decimal("0.0825"), PROFILE)
            await connection.execute(sql.upsert_membership, TENANT_ID, USER_ID, "owner")
            await connection.execute(sql.name_user, USER_ID, EMAIL, "Dana Reyes")
            await connection.execute(operators.SQL.upsert, USER_ID, "the demo user")
            if await connection.fetchval(sql.has_price_items, TENANT_ID):
                return False
            await connection.execute(sql.insert_price_items, TENANT_ID, *_columns())
            return True
    finally:
        await connection.close(timeout=5)


def _columns() -> tuple[list[str], list[str], list[str], list[str], list[Decimal]]:
    with PRICE_BOOK.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return (
        [row["code"] for row in rows],
        [row["description"] for row in rows],
        [row["category"] for row in rows],
        [row["unit"] for row in rows],
        [Decimal(row["unit_price"]) for row in rows],
    )


async def _prepare() -> None:
    settings = load_settings()
    if not settings.is_local:
        sys.exit("The demo tenant is for ENVIRONMENT=local only.")
    async with ObjectStore.open(settings) as objects:
        await objects.ensure_bucket()
    if await seed(settings.admin_url):
        sys.stdout.write("made the demo tenant with its price book\n")


def main() -> None:
    """Make the media bucket and the demo tenant, on a local stack only."""
    try:
        asyncio.run(_prepare())
    except SettingsError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

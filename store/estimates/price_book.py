"""The price book as its owner sees it: browse, search, add. How the engine prices a line is another matter."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import asyncpg
import orjson

from store.errors import NotFound
from store.estimates.units import compatible
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("estimates/price_book")
# Of a file of the book, in and out.
ROWS_AT_ONCE = 500
COLUMNS = ("code", "description", "category", "unit", "unit_price")


@dataclass(frozen=True)
class NewItem:
    """An item to add; the price is per `unit`."""

    description: str
    unit: str
    unit_price: Decimal
    code: str = ""
    category: str = ""


async def listed(
    conn: Connection, limit: int, after: tuple[str, str, UUID] | None = None, *, unit: str = ""
) -> list[Record]:
    """Return the active items behind a position (category, description, id), in that order."""
    units = list(compatible(unit)) if unit else None
    return await conn.fetch(SQL.list_items, limit, *(after or (None, None, None)), units)


async def get(conn: Connection, item_id: UUID, *, held: bool = False) -> Record:
    """Return an active item, held to the end of the transaction if asked. Raises `NotFound`."""
    row = await conn.fetchrow(SQL.hold_item if held else SQL.get_item, item_id)
    if row is None:
        raise NotFound("There is no such price item.")
    return row


async def change(conn: Connection, item_id: UUID, new: NewItem) -> Record:
    """Write an item anew and return its row. Raises `NotFound`."""
    values = (new.code, new.description, new.category, new.unit, new.unit_price)
    row = await conn.fetchrow(SQL.change_item, item_id, *values)
    if row is None:
        raise NotFound("There is no such price item.")
    return row


async def remove(conn: Connection, item_id: UUID) -> None:
    """Remove an item; estimates that name it keep their copy."""
    await conn.execute(SQL.remove_item, item_id)


async def find(conn: Connection, query: str, limit: int, *, unit: str = "") -> list[Record]:
    """Return the active items that resemble or hold the query, or have a code that begins with it, best first.

    With `unit` only those with a price usable for it: "lf" finds items sold by the foot. Needs a
    transaction. Likeness that takes too long is left out; raises QueryCanceledError when the rest does.
    """
    units = list(compatible(unit)) if unit else None
    await conn.execute(SQL.bound_search)
    found = await conn.fetch(SQL.find_items, query, units, limit)
    if len(found) < limit:
        with suppress(asyncpg.QueryCanceledError):
            async with conn.transaction():
                known = [row["id"] for row in found]
                found += await conn.fetch(SQL.resembling_items, query, known, units, limit - len(found))
    return found


async def whole(conn: Connection) -> list[Record]:
    """Return every active item: code, description, category, unit and price."""
    # A large book all at once would keep the loop for as long as reading its rows takes.
    return [row async for row in conn.cursor(SQL.whole_book, prefetch=ROWS_AT_ONCE)]


async def import_items(conn: Connection, tenant_id: UUID, items: Sequence[NewItem]) -> Record:
    """Add or reprice many items in one statement; returns how many were `added` and `updated`."""
    # As JSON, made beside the loop: 50,000 rows as arrays would keep it for a tenth of a second.
    rows = await asyncio.to_thread(lambda: orjson.dumps(items, default=str).decode())
    row = await conn.fetchrow(SQL.import_items, tenant_id, rows)
    assert row is not None  # noqa: S101 - a SELECT of counts
    return row


async def learn(conn: Connection, tenant_id: UUID, price: NewItem, *, item_id: UUID | None) -> UUID:
    """Keep a price: on the item it came from, else on the one that is called the same, else as a new item."""
    known: UUID | None = await conn.fetchval(SQL.reprice_item, item_id, price.description, price.unit, price.unit_price)
    return known or (await add(conn, tenant_id, price))["id"]


async def add(conn: Connection, tenant_id: UUID, new: NewItem) -> Record:
    """Add an item and return its row."""
    row = await conn.fetchrow(
        SQL.add_item, tenant_id, new.code, new.description, new.category, new.unit, new.unit_price
    )
    assert row is not None  # noqa: S101 - RETURNING of a plain INSERT
    return row

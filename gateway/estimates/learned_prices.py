"""Saves prices that a person typed into an estimate back to the price book, where the edit asks for it."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from gateway.estimates.line_differences import Line
from gateway.estimates.line_edits import EditedLine, LineEdit
from store.estimates import price_book
from store.estimates.estimates import NewLine
from store.pool import Connection


async def learned(
    conn: Connection, tenant_id: UUID, edit: LineEdit, old: Sequence[Line], new: Sequence[NewLine]
) -> list[NewLine]:
    """Return the lines with the items their prices were saved to; run it in the edit's own transaction."""
    # A price by another unit is not the item's.
    items = {(line["id"], line["unit"]): line["price_item_id"] for line in old}
    return [
        await _learned(conn, tenant_id, wanted, line, items.get((wanted.id, wanted.unit)))
        for wanted, line in zip(edit.lines, new, strict=True)
    ]


async def _learned(
    conn: Connection, tenant_id: UUID, wanted: EditedLine, line: NewLine, item_id: UUID | None
) -> NewLine:
    if not wanted.learn or line.unit_price is None:
        return line
    price = price_book.NewItem(line.description, line.unit, line.unit_price, category=line.category)
    return replace(line, price_item_id=await price_book.learn(conn, tenant_id, price, item_id=item_id))

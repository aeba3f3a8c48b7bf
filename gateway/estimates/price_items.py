"""The tenant's price book: search it, add to it, take it in from a file and give it out as one."""

import asyncio
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.auth.idempotency import idempotent
from gateway.context import context_of
from gateway.estimates.price_file import NewPriceItem, PriceItemChange, read_file, write_file
from gateway.http.body import json_response, read_body, read_json, uuid_param
from gateway.http.conditional import etag_of, require_match, tagged_response
from gateway.http.input.paging import read_page
from gateway.http.input.query import text_param
from gateway.http.limits.cost_limits import PRICE_FILES
from store.errors import UnsupportedType
from store.estimates import price_book
from store.fair_share import FairShare
from store.pool import Record

SHOWN, MOST_SHOWN = 50, 200
MOST_FOUND = 1000
_QUERY_LENGTH = 200
_UNIT_LENGTH = 32
_FILE_BYTES = 8 * 1024 * 1024
# Each keeps a processor of the database busy: one of each kind a tenant, two in all.
AT_ONCE = 2
SEARCHES_WAITING, SEARCH_WAIT_SECONDS = 128, 10.0
# A file of 50,000 items takes some seconds, and up to 8 MiB while it waits.
TRANSFERS_WAITING, TRANSFER_WAIT_SECONDS = 32, 60.0
_FILE_TYPES = {"text/csv", "application/csv", "application/vnd.ms-excel", "text/plain"}


def searches() -> FairShare:
    """Make the share of searches that run at once."""
    return FairShare(AT_ONCE, places=SEARCHES_WAITING, seconds=SEARCH_WAIT_SECONDS)


def transfers() -> FairShare:
    """Make the share of books that are read or written as a file at once."""
    return FairShare(AT_ONCE, places=TRANSFERS_WAITING, seconds=TRANSFER_WAIT_SECONDS)


async def list_items(request: Request) -> Response:
    """Answer {price_items: [...], has_more, next}: all by category and description, or those that resemble `?q=`.

    A search answers the best first. `?unit=` keeps to items with a price usable for that unit, in any spelling.
    """
    principal = await admit(request)
    query, unit = text_param(request, "q", _QUERY_LENGTH), text_param(request, "unit", _UNIT_LENGTH)
    kinds = (_found_so_far,) if query else (str, str, UUID)
    page = read_page(request, *kinds, usual=SHOWN, most=MOST_SHOWN)
    context = context_of(request)
    async with context.searches.slot(principal.tenant_id), context.db.as_user(principal.claims) as conn:
        if query:
            skipped = page.after[0] if page.after else 0
            rows = (await price_book.find(conn, query, skipped + page.reach, unit=unit or ""))[skipped:]
            return json_response(page.answer("price_items", rows, lambda _: (skipped + page.limit,), dict))
        rows = await price_book.listed(conn, page.reach, page.after, unit=unit or "")
    return json_response(page.answer("price_items", rows, _place, dict))


async def create_item(request: Request) -> Response:
    """Add an item: 201."""
    principal = await admit(request)
    new = await read_json(request, NewPriceItem)
    async with context_of(request).db.as_user(principal.claims) as conn:
        row = await price_book.add(conn, principal.tenant_id, price_book.NewItem(**new.model_dump()))
    return tagged_response(request, dict(row), status=201, headers={"location": f"/v1/price-items/{row['id']}"})


async def read_item(request: Request) -> Response:
    """Answer one item."""
    principal = await admit(request)
    async with context_of(request).db.as_user(principal.claims) as conn:
        row = await price_book.get(conn, _item_id(request))
    return tagged_response(request, dict(row))


async def change_item(request: Request) -> Response:
    """Change the given fields of an item; with If-Match only while it is as it was read: else 412."""
    principal = await admit(request)
    change = await read_json(request, PriceItemChange)
    async with context_of(request).db.as_user(principal.claims) as conn:
        before = dict(await price_book.get(conn, _item_id(request), held=True))
        require_match(request, etag_of(before))
        after = before | change.model_dump(exclude_none=True)
        new = price_book.NewItem(**{name: after[name] for name in price_book.COLUMNS})
        row = await price_book.change(conn, before["id"], new)
    return tagged_response(request, dict(row))


async def delete_item(request: Request) -> Response:
    """Remove an item; estimates that were priced by it stay as they are. With If-Match as for a change."""
    principal = await admit(request)
    async with context_of(request).db.as_user(principal.claims) as conn:
        require_match(request, etag_of(dict(await price_book.get(conn, _item_id(request), held=True))))
        await price_book.remove(conn, _item_id(request))
    return Response(status_code=204)


async def export_items(request: Request) -> Response:
    """Answer the whole book as a CSV file that `import` takes back."""
    principal = await admit(request)
    context = context_of(request)
    context.costs.spend(PRICE_FILES, principal.who)
    headers = {"content-disposition": 'attachment; filename="price-book.csv"', "cache-control": "no-store"}
    async with context.transfers.slot(principal.tenant_id):
        async with context.db.as_user(principal.claims) as conn:
            rows = await price_book.whole(conn)
        # As long as reading one: beside the streams of others too.
        content = await asyncio.to_thread(lambda: "".join(write_file(map(dict, rows))))
    return Response(content, 200, headers, media_type="text/csv")


async def import_items(request: Request) -> Response:
    """Take in a CSV file and answer {added, updated}; with one line that cannot be used nothing is taken in: 422.

    An item is known by its code, or without one by its words and unit.
    """
    principal = await admit(request)
    if request.headers.get("content-type", "text/csv").partition(";")[0].strip().lower() not in _FILE_TYPES:
        raise UnsupportedType("Send the file as text/csv.")
    context = context_of(request)
    context.costs.spend(PRICE_FILES, principal.who)
    content = await read_body(request, limit=_FILE_BYTES)
    async with context.transfers.slot(principal.tenant_id):
        # A second's work for 50,000 rows: the streams of others go on meanwhile.
        items = await asyncio.to_thread(read_file, content)
        async with context.db.as_user(principal.claims) as conn:
            return json_response(dict(await price_book.import_items(conn, principal.tenant_id, items)))


def _found_so_far(value: Any) -> int:
    """Read how many items of a search were told. Raises ValueError past the most that a search can tell."""
    if not isinstance(value, int) or not 0 <= value <= MOST_FOUND:
        raise ValueError
    return value


def _place(row: Record) -> tuple[Any, ...]:
    return row["category"], row["description"], row["id"]


def _item_id(request: Request) -> UUID:
    return uuid_param(request.path_params["item_id"], "item_id")


routes = [
    Route("/v1/price-items", list_items),
    Route("/v1/price-items", idempotent(create_item), methods=["POST"]),
    Route("/v1/price-items/export", export_items),
    Route("/v1/price-items/import", idempotent(import_items, body_bytes=_FILE_BYTES, in_one=False), methods=["POST"]),
    Route("/v1/price-items/{item_id}", read_item),
    Route("/v1/price-items/{item_id}", change_item, methods=["PATCH"]),
    Route("/v1/price-items/{item_id}", delete_item, methods=["DELETE"]),
]

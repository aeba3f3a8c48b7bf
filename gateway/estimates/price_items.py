"""The tenant's price book: search it, add to it, take it in from a file and give it out as one."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.auth.idempotency import idempotent
from gateway.context import context_of
from gateway.estimates.price_file import NewPriceItem, read_file, write_file
from gateway.http.body import int_param, json_response, read_body, read_json
from gateway.http.cost_limits import PRICE_FILES
from store.errors import InvalidInput, UnsupportedType
from store.estimates import price_book
from store.fair_share import FairShare

SHOWN, MOST_SHOWN = 50, 200
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
    """Answer {price_items: [...]}: those that resemble `?q=`, best first, or all by category and description.

    `?unit=` keeps to items with a price usable for that unit, in any spelling.
    """
    principal = await admit(request)
    limit = int_param(request.query_params.get("limit"), "limit", low=1, high=MOST_SHOWN) or SHOWN
    query, unit = _text(request, "q", _QUERY_LENGTH), _text(request, "unit", _UNIT_LENGTH)
    context = context_of(request)
    async with context.searches.slot(principal.tenant_id), context.db.as_user(principal.claims) as conn:
        rows = await price_book.find(conn, query, limit, unit=unit) if query else await price_book.listed(conn, limit)
    return json_response({"price_items": [dict(row) for row in rows]})


async def create_item(request: Request) -> Response:
    """Add an item: 201."""
    principal = await admit(request)
    new = await read_json(request, NewPriceItem)
    async with context_of(request).db.as_user(principal.claims) as conn:
        row = await price_book.add(conn, principal.tenant_id, price_book.NewItem(**new.model_dump()))
    return json_response(dict(row), 201)


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


def _text(request: Request, name: str, length: int) -> str:
    text = request.query_params.get(name, "").replace("\0", "").strip()
    if len(text) > length:
        raise InvalidInput(f"{name} may have at most {length} characters.", code="invalid_parameter", field=name)
    return text


routes = [
    Route("/v1/price-items", list_items),
    Route("/v1/price-items", idempotent(create_item), methods=["POST"]),
    Route("/v1/price-items/export", export_items),
    Route("/v1/price-items/import", import_items, methods=["POST"]),
]

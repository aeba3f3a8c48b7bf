"""The tenant's price book: search it, add to it."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth import admit
from gateway.body import Price, Trimmed, int_param, json_response, read_json
from gateway.context import context_of
from store import price_book
from store.errors import InvalidInput

SHOWN, MOST_SHOWN = 50, 200
_QUERY_LENGTH = 200


class NewPriceItem(BaseModel):
    """An item for the price book."""

    model_config = ConfigDict(extra="forbid")

    code: Annotated[str, Trimmed, Field(max_length=64)] = ""
    description: Annotated[str, Trimmed, Field(min_length=1, max_length=500)]
    category: Annotated[str, Trimmed, Field(max_length=100)] = ""
    unit: Annotated[str, Trimmed, Field(min_length=1, max_length=32)]
    unit_price: Price


async def list_items(request: Request) -> Response:
    """Answer {price_items: [...]}: those that resemble `?q=`, best first, or all by category and description."""
    principal = await admit(request)
    limit = int_param(request.query_params.get("limit"), "limit", low=1, high=MOST_SHOWN) or SHOWN
    query = request.query_params.get("q", "").replace("\0", "").strip()
    if len(query) > _QUERY_LENGTH:
        raise InvalidInput(f"q may have at most {_QUERY_LENGTH} characters.", field="q")
    async with context_of(request).db.as_user(principal.claims) as conn:
        rows = await price_book.find(conn, query, limit) if query else await price_book.listed(conn, limit)
    return json_response({"price_items": [dict(row) for row in rows]})


async def create_item(request: Request) -> Response:
    """Add an item: 201."""
    principal = await admit(request)
    new = await read_json(request, NewPriceItem)
    async with context_of(request).db.as_user(principal.claims) as conn:
        row = await price_book.add(conn, principal.tenant_id, price_book.NewItem(**new.model_dump()))
    return json_response(dict(row), 201)


routes = [
    Route("/v1/price-items", list_items),
    Route("/v1/price-items", create_item, methods=["POST"]),
]

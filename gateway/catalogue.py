"""Every description, of all families, and the address where the document made of them is read."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.accounts import openapi as accounts
from gateway.context import context_of
from gateway.estimates import openapi as estimates
from gateway.openapi.document import document, path_of
from gateway.openapi.operation import Operation
from gateway.openapi.public import public_document
from gateway.openapi.reference import reference_of
from gateway.ops import openapi as ops
from gateway.pages import openapi as pages
from gateway.progress import openapi as progress
from gateway.progress.asyncapi import asyncapi_document
from gateway.progress.event_types import SHAPES
from gateway.shares import openapi as shares
from gateway.uploads import openapi as uploads
from gateway.visits import openapi as visits
from gateway.webhooks import openapi as webhooks

OPERATIONS: dict[str, Operation] = {
    **pages.OPERATIONS,
    **visits.OPERATIONS,
    **uploads.OPERATIONS,
    **progress.OPERATIONS,
    **estimates.OPERATIONS,
    **shares.OPERATIONS,
    **webhooks.OPERATIONS,
    **accounts.OPERATIONS,
    **ops.OPERATIONS,
}


def known_parameters(route: Route, method: str) -> frozenset[str] | None:
    """Return the query parameters of a method of a route; None where any may come, as with streams."""
    operation = OPERATIONS.get(f"{'GET' if method == 'HEAD' else method} {path_of(route)}")
    if operation is None or operation.caller == "watcher":
        return None
    return frozenset(param.name for param in operation.params if param.where == "query")


def describe(routes: list[BaseRoute]) -> dict[str, Any]:
    """Describe these routes. Raises `Undescribed` for one that nobody has described."""
    return document(routes, OPERATIONS, SHAPES)


def describe_public(routes: list[BaseRoute]) -> dict[str, Any]:
    """Describe the public API of these routes, for people and generators of clients."""
    return public_document(describe(routes))


async def openapi(request: Request) -> Response:
    """Answer the document of the public API."""
    app = request.app
    if not hasattr(app.state, "openapi"):
        app.state.openapi = orjson.dumps(describe_public(app.routes))
    return Response(app.state.openapi, media_type="application/json")


async def openapi_of_all(request: Request) -> Response:
    """Answer the document of everything that is served: pages, operators' routes and health too."""
    app = request.app
    if not hasattr(app.state, "openapi_of_all"):
        app.state.openapi_of_all = orjson.dumps(describe(app.routes))
    return Response(app.state.openapi_of_all, media_type="application/json")


async def reference(request: Request) -> Response:
    """Show the reference of the public API, rendered from its document."""
    app = request.app
    if not hasattr(app.state, "reference"):
        template = context_of(request).templates.get_template("reference.html")
        app.state.reference = template.render(**reference_of(describe_public(app.routes)))
    return HTMLResponse(app.state.reference, headers={"cache-control": "max-age=300"})


async def asyncapi(_request: Request) -> Response:
    """Answer the description of the streams and their messages, as AsyncAPI 3."""
    return Response(orjson.dumps(asyncapi_document()), media_type="application/json")


routes = [
    Route("/openapi.json", openapi),
    Route("/openapi/all.json", openapi_of_all),
    Route("/reference", reference),
    Route("/asyncapi.json", asyncapi),
]

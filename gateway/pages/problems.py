"""Pages of problems: where `type` of an error leads, with the meaning of its code and the remedy."""

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.context import context_of
from gateway.http.body import json_response
from gateway.http.negotiation import prefers_json
from gateway.http.problem_codes import CODES, PAGES


async def index(request: Request) -> Response:
    """List every problem code; as JSON to a client that prefers it."""
    if prefers_json(request.headers.get("accept", "")):
        return json_response({"problems": [_as_json(code) for code in CODES]})
    return _page(request, {"codes": CODES})


async def one(request: Request) -> Response:
    """Explain one problem code: its status, its remedy and its members; as JSON to a client that prefers it."""
    code = request.path_params["code"]
    if code not in CODES:
        raise HTTPException(404)
    if prefers_json(request.headers.get("accept", "")):
        return json_response(_as_json(code))
    return _page(request, {"codes": {code: CODES[code]}, "code": code})


def _page(request: Request, values: Mapping[str, Any]) -> Response:
    page = context_of(request).templates.TemplateResponse(request, "problems.html", {**values, "pages": PAGES})
    page.headers["cache-control"] = "max-age=3600"
    page.headers["vary"] = "accept"
    return page


def _as_json(code: str) -> dict[str, Any]:
    known = CODES[code]
    return {
        "type": PAGES + code,
        "code": code,
        "status": known.status,
        "title": known.title,
        "remedy": known.remedy,
        "members": {name: dict(schema) for name, schema in known.members.items()},
    }


routes = [Route(PAGES.rstrip("/"), index), Route(PAGES + "{code}", one)]

"""Query parameters: read with the same care as bodies, and refused where an address does not know them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.errors import problem
from store.errors import InvalidInput

# How many values a parameter may have that may be given several times.
_MOST_VALUES = 20


def text_param(request: Request, name: str, length: int) -> str | None:
    """Read a text without blanks around it; None when absent or empty. Raises `InvalidInput` past `length`."""
    text = request.query_params.get(name, "").replace("\0", "").strip()
    if len(text) > length:
        raise InvalidInput(f"{name} may have at most {length} characters.", code="invalid_parameter", field=name)
    return text or None


def moment_param(request: Request, name: str) -> datetime | None:
    """Read a time with its offset, in UTC; None when absent. Raises `InvalidInput`."""
    text = request.query_params.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    detail = f"{name} must be a time with its offset, such as 2026-11-30T09:00:00Z."
    raise InvalidInput(detail, code="invalid_parameter", field=name)


def choice_params(request: Request, name: str, choices: Sequence[str]) -> list[str] | None:
    """Read a parameter that may be given several times; None when absent. Raises `InvalidInput` for another value."""
    found = request.query_params.getlist(name)[: _MOST_VALUES + 1]
    if len(found) > _MOST_VALUES or set(found) - set(choices):
        raise InvalidInput(f"{name} is one of: {', '.join(choices)}.", code="invalid_parameter", field=name)
    return found or None


class KnownParameters:
    """Refuses a request of `/v1` with a query parameter that its address does not know, as a body's field would be.

    `known` returns the parameters of a method of a route, None where any may come: clients of streams add their own.
    """

    def __init__(self, app: ASGIApp, known: Callable[[Route, str], frozenset[str] | None]) -> None:
        self._app = app
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on when every parameter is known."""
        if scope["type"] == "http" and scope["query_string"] and scope["path"].startswith("/v1/"):
            unknown = self._unknown(scope)
            if unknown is not None:
                detail = f"There is no parameter `{unknown[:64]}` here; see the API reference."
                refusal = problem(400, detail, code="unknown_parameter", field=unknown[:64])
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _unknown(self, scope: Scope) -> str | None:
        route = _route_of(scope, scope["app"].routes)
        known = None if route is None else self._known(route, scope["method"])
        if known is None:
            return None
        given = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return next((name for name, _ in given if name not in known), None)


def _route_of(scope: Mapping[str, object], routes: Sequence[BaseRoute]) -> Route | None:
    for route in routes:
        if isinstance(route, Route) and route.matches(dict(scope))[0] is Match.FULL:
            return route
    return None

"""`/ops`: how the whole product stands, live, for its operators; and their way in."""

import time
from collections.abc import AsyncIterator
from http import HTTPStatus

import orjson
from sse_starlette.event import ServerSentEvent
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from config.logging import get_logger
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.ops import actions
from gateway.ops.access import operator_of, require_operator
from gateway.ops.dashboard import SECTIONS, dashboard_of
from gateway.pages import demo
from gateway.pages.shell import modules_of
from store.errors import Forbidden, Unauthenticated
from store.pool import AWAY

_log = get_logger(__name__)

# An operator whose row is gone sees nothing new after a second. All who look share a reading a second.
LOOK_SECONDS = 0.9
# A proxy ends what says nothing for a minute.
BEAT_SECONDS = 20.0


async def page(request: Request) -> Response:
    """Show the page to an operator, to anybody else the way in; on a developer's own machine sign the browser in."""
    context = context_of(request)
    if demo.may_log_in(request) and not await _is_operator(request):
        return await demo.log_in(request, RedirectResponse("/ops", HTTPStatus.SEE_OTHER))
    try:
        principal = await operator_of(request)
    except (Unauthenticated, Forbidden) as refusal:
        return _way_in(request, str(refusal), 401 if isinstance(refusal, Unauthenticated) else 403)
    sections = await dashboard_of(request).sections(principal.claims)
    words = {"sections": sections, "names": SECTIONS, "modules": modules_of("ops/ops.js")}
    return _fresh(context.templates.TemplateResponse(request, "ops/page.html", words))


async def live(request: Request) -> StreamingResponse:
    """Stream the names of the sections that change, as lists; all of them at first. The page itself has the rest."""
    principal = await operator_of(request)
    headers = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
    return StreamingResponse(_changes(request, principal), headers=headers, media_type="text/event-stream")


async def _changes(request: Request, principal: Principal) -> AsyncIterator[bytes]:
    """Look every second, until the token or the right ends, or the process lets its streams go."""
    dashboard, hub = dashboard_of(request), context_of(request).hub
    shown: dict[str, str] = {}
    said_at = 0.0
    while not hub.admission.draining and principal.expires_at > time.time():
        try:
            await require_operator(request, principal)
            sections = await dashboard.sections(principal.claims)
        except Forbidden:
            return
        except AWAY as error:  # in the middle of a reading too; nobody hears of an error once the answer has begun
            _log.warning("The operators' page was not read", error=type(error).__name__)
            yield ServerSentEvent(data="{}", event="away").encode()
        else:
            fresh = [name for name, html in sections.items() if shown.get(name) != html]
            if fresh or time.monotonic() - said_at > BEAT_SECONDS:
                said_at = time.monotonic()
                yield ServerSentEvent(data=orjson.dumps(fresh).decode()).encode()
            shown = sections
        await dashboard.until_due(LOOK_SECONDS)


async def _is_operator(request: Request) -> bool:
    try:
        await operator_of(request)
    except (Unauthenticated, Forbidden):
        return False
    return True


def _way_in(request: Request, why: str, status: int) -> Response:
    templates = context_of(request).templates
    return _fresh(templates.TemplateResponse(request, "ops/sign_in.html", {"why": why}, status_code=status))


def _fresh(answer: Response) -> Response:
    answer.headers["cache-control"] = "no-store"
    return answer


routes: list[BaseRoute] = [
    Route("/ops", page),
    Route("/ops/live", live),
    *actions.routes,
]

"""The customer's side of a share, under /e/{token}: a neutral door, the document behind it, and the decision.

A GET never takes a view, so that previews and link scanners learn nothing and use nothing up. A view is taken by the
door's own POST, which gives the browser a session of half an hour for this one link.
"""

from typing import TYPE_CHECKING
from uuid import UUID

from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.body import uuid_param
from gateway.buckets import Buckets
from gateway.context import context_of
from gateway.derivatives import ensure_derivative
from gateway.errors import STATUS
from gateway.share_document import Document
from gateway.share_form import DecisionForm, OpenForm, read_form
from gateway.share_frame import NO_LINK, ShareFrame, wants_page
from gateway.share_secrets import digest, new_secret, passcode_fits
from gateway.visitor import address_of, came_from_our_page, public_origin, visitor_of
from store import shares
from store.errors import Conflict, Forbidden, Gone, NotFound, RequestError, TooMany
from store.pool import Record

if TYPE_CHECKING:
    from store.media import Size

SESSION_COOKIE = "scopekit_share"
SESSION_SECONDS = 1800
# Unknown links an address may ask for: thirty at once, then one in two seconds. Enough for a mangled link in a family's
# chat, little for a search. Nobody can search 256 bits; this keeps a try from costing us.
UNKNOWN_BURST, UNKNOWN_PER_SECOND = 30, 0.5

_ENDED = "Your reading session has ended, so nothing was sent. Open the estimate again to answer."
_DECIDED = "An answer to this estimate has already been recorded, so this one was not."
_CHANGED = "There is a newer version than the one you were reading, so your answer was not recorded."


class SharePage(HTTPEndpoint):
    """The door, or for a live session the document."""

    async def get(self, request: Request) -> Response:
        """Render the one or the other; takes nothing."""
        key = _key_of(request)
        share = await _find(request, key)
        if not share["live"]:
            return _door(request, share)
        async with context_of(request).db.as_system() as conn:
            source = await shares.document(conn, key)
        if source is None:  # It ended between the two questions.
            return _door(request, share)
        return _page(request, "share/document.html", document=Document(source))


class _Action(HTTPEndpoint):
    """A form's address, which a reader may also reload or keep: then it leads back to the page."""

    async def get(self, request: Request) -> Response:
        """Answer 303 back to the page."""
        return _back(request)


class OpenShare(_Action):
    """Takes one view, and begins the session."""

    async def post(self, request: Request) -> Response:
        """Answer 303 back to the page; an already open session takes no second view."""
        _require_our_page(request)
        form = await read_form(request, OpenForm)
        # A second click comes without the cookie that the first one is still fetching, but with the same form.
        share = await _find(request, _key_of(request, or_session=form.once))
        if share["live"]:
            return _with_session(request, request.cookies.get(SESSION_COOKIE) or form.once)
        try:
            return _with_session(request, await _open(request, share, form))
        except (Forbidden, TooMany) as problem:
            return _refuse(request, share, problem)


class DecideShare(_Action):
    """Takes the customer's decision."""

    async def post(self, request: Request) -> Response:
        """Answer 303 back to the page, which then shows the decision.

        Raises `Conflict` when there is one already, or the document is not what the customer read.
        """
        _require_our_page(request)
        key = _key_of(request)
        share = await _find(request, key)
        form = await read_form(request, DecisionForm)
        said = shares.Said(form.decision, form.name, form.message, form.content_hash)
        async with context_of(request).db.as_system() as conn:
            outcome = await shares.decide(conn, key, said, visitor_of(request))
        match outcome:
            case "recorded":
                return _back(request)
            case "decided":
                raise Conflict(_DECIDED)
            case "changed":
                raise Conflict(_CHANGED)
        return _refuse(request, share, Forbidden(_ENDED))


class SharedPhoto(HTTPEndpoint):
    """A photo the document cites, as a copy without what the camera wrote into it."""

    async def get(self, request: Request) -> Response:
        """Answer 302 to a URL signed for SHARE_LINK_TTL seconds; `?size=thumb` or `view`. 404 without a session."""
        media_id = uuid_param(request.path_params["media_id"], "media_id")
        size: Size = "thumb" if request.query_params.get("size") == "thumb" else "view"
        photo = await _photo(request, media_id)
        context = context_of(request)
        key = await ensure_derivative(context, photo, size)
        url = await context.objects.presign_get(key, ttl=context.settings.share_link_ttl, content_type="image/jpeg")
        return RedirectResponse(url, 302)


class Nothing(HTTPEndpoint):
    """Every other address under a link."""

    async def get(self, _request: Request) -> Response:
        """Answer 404."""
        raise HTTPException(404)


async def _photo(request: Request, media_id: UUID) -> Record:
    key = _key_of(request)
    async with context_of(request).db.as_system() as conn:
        try:
            return await shares.photo(conn, key, media_id)
        except NotFound:
            pass
    await _find(request, key)  # An unknown link counts as one here too.
    raise NotFound("There is no such photo in this document.")


async def _find(request: Request, key: shares.Key) -> Record:
    """Look the link up: always one hash and one query, whatever it turns out to be.

    Raises `NotFound` for an unknown link, `Gone` for one that ended and has no live session, both in the same words;
    `TooMany` for an address that asked for too many unknown ones.
    """
    address, strangers = address_of(request), _strangers(request)
    if wait := strangers.wait(address):
        raise TooMany("Too many links that do not exist were asked for from here.", retry_after=wait)
    async with context_of(request).db.as_system() as conn:
        share = await shares.by_token(conn, key)
    if share is None:
        strangers.take(address)
        raise NotFound(NO_LINK)
    if share["state"] != "ready" and not share["live"]:
        raise Gone(NO_LINK)
    return share


async def _open(request: Request, share: Record, form: OpenForm) -> str:
    """Take a view and return the new session's secret."""
    token = digest(request.path_params["token"])
    passcode_hash = await _checked_passcode(request, share, form.passcode)
    for secret in (form.once or new_secret(), new_secret()):
        key = shares.Key(token, digest(secret))
        async with context_of(request).db.as_system() as conn:
            outcome = await shares.open_share(
                conn, key, visitor_of(request), passcode_hash=passcode_hash, session_seconds=SESSION_SECONDS
            )
        if outcome == "opened":
            return secret
        if outcome != "stale":  # Else the form is an old one, brought back by the browser.
            break
    if outcome == "passcode":
        raise Forbidden("Please type the passcode again.")
    raise NotFound(NO_LINK) if outcome == "unknown" else Gone(NO_LINK)


async def _checked_passcode(request: Request, share: Record, passcode: str) -> str | None:
    """Check a passcode and return the hash it fits; None where none is asked for.

    Raises `Forbidden` for a wrong one, `TooMany` when there were too many.
    """
    if not share["has_passcode"]:
        return None
    if not passcode.strip():
        raise Forbidden("Please type the passcode you were given.")
    async with context_of(request).db.as_system() as conn:
        attempt = await shares.try_passcode(conn, _key_of(request))
    if attempt is None:
        raise NotFound(NO_LINK)
    if attempt["retry_after"]:
        minutes = -(-attempt["retry_after"] // 60)
        detail = f"That was the wrong passcode too often. Try again in {minutes} minute{'s' if minutes > 1 else ''}."
        raise TooMany(detail, retry_after=attempt["retry_after"])
    if not await passcode_fits(attempt["passcode_hash"], passcode):
        raise Forbidden("That is not the passcode. Please check it and try again.")
    found: str = attempt["passcode_hash"]
    return found


def _require_our_page(request: Request) -> None:
    if not came_from_our_page(request, context_of(request).settings):
        raise Forbidden("Please open the estimate with the button on its own page.")


def _key_of(request: Request, or_session: str = "") -> shares.Key:
    session = request.cookies.get(SESSION_COOKIE) or or_session
    return shares.Key(digest(request.path_params["token"]), digest(session) if session else None)


def _strangers(request: Request) -> Buckets:
    state = request.app.state
    if not hasattr(state, "share_strangers"):
        state.share_strangers = Buckets(burst=UNKNOWN_BURST, per_second=UNKNOWN_PER_SECOND)
    strangers: Buckets = state.share_strangers
    return strangers


def _door(request: Request, share: Record, *, status: int = 200, problem: str = "") -> Response:
    values = {"has_passcode": share["has_passcode"], "problem": problem, "once": new_secret()}
    return _page(request, "share/door.html", status=status, **values)


def _page(request: Request, template: str, *, status: int = 200, **values: object) -> Response:
    values |= {"here": _here(request)}
    values["here"] = _here(request)
    return context_of(request).templates.TemplateResponse(request, template, values, status_code=status)


def _refuse(request: Request, share: Record, problem: RequestError) -> Response:
    """Show the door again with what was wrong; a program gets the problem document instead."""
    if not wants_page(request):
        raise problem
    response = _door(request, share, status=STATUS[type(problem)], problem=problem.detail)
    if isinstance(problem, TooMany):
        response.headers["retry-after"] = str(round(problem.retry_after))
    return response


def _back(request: Request) -> Response:
    return RedirectResponse(_here(request), 303)


def _with_session(request: Request, secret: str) -> Response:
    response = _back(request)
    response.set_cookie(
        SESSION_COOKIE,
        secret,
        max_age=SESSION_SECONDS,
        path=_here(request),
        httponly=True,
        samesite="strict",
        secure=public_origin(request, context_of(request).settings).startswith("https:"),
    )
    return response


def _here(request: Request) -> str:
    return f"/e/{request.path_params['token']}"


def _route(path: str, endpoint: type[HTTPEndpoint]) -> Route:
    # Classes answer every method, so that a refused one is framed too.
    return Route(path, endpoint, middleware=[Middleware(ShareFrame)])


routes: list[BaseRoute] = [
    _route("/e/{token}", SharePage),
    _route("/e/{token}/open", OpenShare),
    _route("/e/{token}/decision", DecideShare),
    _route("/e/{token}/media/{media_id}", SharedPhoto),
    _route("/e/{token}/{rest:path}", Nothing),
]

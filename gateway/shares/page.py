"""The customer's side of a share, under /e/{token}: a landing page, the document behind it, and the decision.

A GET never takes a view, so that previews and link scanners learn nothing and use nothing up. A view is taken by the
landing page's own POST, which gives the browser a session of half an hour for this one link.
"""

from dataclasses import asdict, dataclass

from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from gateway.context import context_of
from gateway.http.body import json_response
from gateway.http.client_info import client_info_of, public_origin
from gateway.http.errors import STATUS
from gateway.http.input.form import read_form
from gateway.shares import downloads, files
from gateway.shares.access import SESSION_COOKIE, WRONG_PASSCODES, bucket_of, find, key_of, of_session, require_our_form
from gateway.shares.form import DecisionForm, OpenForm, QuestionForm
from gateway.shares.link_secrets import digest, new_secret, passcode_fits
from gateway.shares.middleware import NO_LINK, address_here, share_route, wants_page
from store.documents.document import Document
from store.errors import Conflict, Forbidden, Gone, NotFound, RequestError, TooMany
from store.pool import Record
from store.shares import shares

SESSION_SECONDS = 1800

_ENDED = "This page timed out, so nothing was sent. Reopen the link to respond."
_DECIDED = "An answer to this estimate has already been recorded, so this one was not."
_FULL = "This thread is full. Please call or write to the sender instead."
_WRONG = "Too many wrong passcodes came from where you are. Wait a few minutes and try again."
_CHANGED = "The estimate or its terms have changed since you opened it, so your answer was not recorded."


@dataclass(frozen=True)
class ShareFiles:
    """Where the document's pictures and colours are."""

    here: str

    @property
    def logo(self) -> str:
        """The contractor's logo."""
        return f"{self.here}/logo"

    @property
    def colours(self) -> str:
        """The contractor's colours."""
        return f"{self.here}/colours.css"

    def photo(self, media_id: str, size: str) -> str:
        """Return the address of a photo."""
        return f"{self.here}/media/{media_id}?size={size}"


class SharePage(HTTPEndpoint):
    """The landing page, or for a live session the document."""

    async def get(self, request: Request) -> Response:
        """Render the one or the other; takes nothing."""
        key = key_of(request)
        share = await find(request, key)
        if not share["live"]:
            return _landing(request, share)
        async with context_of(request).db.as_system(on_behalf_of=key_of(request).token) as conn:
            source = await shares.document(conn, key)
        if source is None:  # It ended between the two questions.
            return _landing(request, share)
        return _page(
            request,
            "share/document.html",
            document=Document(source, _option(request)),
            files=ShareFiles(address_here(request)),
        )


class ShareNews(HTTPEndpoint):
    """The state that an open page polls."""

    async def get(self, request: Request) -> Response:
        """Answer {version, newest, decision, messages}; 404 or 410 when the session has ended."""
        return json_response(await of_session(request, shares.news))


class ShareThread(HTTPEndpoint):
    """The thread of questions and answers, for an open page whose news count more messages than it shows."""

    async def get(self, request: Request) -> Response:
        """Answer {messages: [{writer, is_ours, body, sent}]}; 404 or 410 when the session has ended."""
        thread = Document(await of_session(request, shares.document)).thread
        return json_response({"messages": [asdict(message) for message in thread]})


class _Action(HTTPEndpoint):
    """A form's address, which a reader may also reload or keep: then it leads back to the page."""

    async def get(self, request: Request) -> Response:
        """Answer 303 back to the page."""
        return _back(request)


class OpenShare(_Action):
    """Takes one view, and begins the session."""

    async def post(self, request: Request) -> Response:
        """Answer 303 back to the page; an already open session takes no second view."""
        require_our_form(request)
        form = await read_form(request, OpenForm)
        # A second click comes without the cookie that the first one is still fetching, but with the same form.
        share = await find(request, key_of(request, or_session=form.once))
        if share["live"]:
            return _with_session(request, request.cookies.get(SESSION_COOKIE) or form.once)
        try:
            return _with_session(request, await _open(request, share, form))
        except (Forbidden, TooMany) as problem:
            return _refuse(request, share, problem)


class AskShare(_Action):
    """Takes the customer's question; the offer stays open."""

    async def post(self, request: Request) -> Response:
        """Answer 303 back to the page, which then shows the question."""
        require_our_form(request)
        key = key_of(request)
        share = await find(request, key)
        form = await read_form(request, QuestionForm)
        async with context_of(request).db.as_system(on_behalf_of=key.token) as conn:
            outcome = await shares.ask(conn, key, form.name, form.question, client_info_of(request))
        match outcome:
            case "recorded":
                return RedirectResponse(f"{address_here(request)}#questions", 303)
            case "full":
                raise Conflict(_FULL, code="thread_full")
        return _refuse(request, share, Forbidden(_ENDED))


class DecideShare(_Action):
    """Takes the customer's decision."""

    async def post(self, request: Request) -> Response:
        """Answer 303 back to the page, which then shows the decision.

        Raises `Conflict` when there is one already, or the document differs from the one the customer read.
        """
        require_our_form(request)
        key = key_of(request)
        share = await find(request, key)
        form = await read_form(request, DecisionForm)
        async with context_of(request).db.as_system(on_behalf_of=key_of(request).token) as conn:
            outcome = await shares.decide(conn, key, form.said, client_info_of(request))
        match outcome:
            case "recorded":
                return _back(request)
            case "decided":
                raise Conflict(_DECIDED, code="already_decided")
            case "changed":
                raise Conflict(_CHANGED, code="estimate_changed")
        return _refuse(request, share, Forbidden(_ENDED))


class Nothing(HTTPEndpoint):
    """Every other address under a link."""

    async def get(self, _request: Request) -> Response:
        """Answer 404."""
        raise HTTPException(404)


async def _open(request: Request, share: Record, form: OpenForm) -> str:
    """Take a view and return the new session's secret."""
    token = digest(request.path_params["token"])
    passcode_hash = await _checked_passcode(request, share, form.passcode)
    for secret in (form.once or new_secret(), new_secret()):
        key = shares.Key(token, digest(secret))
        async with context_of(request).db.as_system(on_behalf_of=key_of(request).token) as conn:
            outcome = await shares.open_share(
                conn, key, client_info_of(request), passcode_hash=passcode_hash, session_seconds=SESSION_SECONDS
            )
        if outcome == "opened":
            return secret
        if outcome != "stale":  # Else the form is an old one, brought back by the browser.
            break
    if outcome == "passcode":
        raise Forbidden("Enter the passcode again.", code="passcode_required")
    raise NotFound(NO_LINK) if outcome == "unknown" else Gone(NO_LINK, code="link_ended")


async def _checked_passcode(request: Request, share: Record, passcode: str) -> str | None:
    """Check a passcode and return the hash it fits; None where none is asked for.

    Raises `Forbidden` for a wrong one, `TooMany` when there were too many.
    """
    if not share["has_passcode"]:
        return None
    if not passcode.strip():
        raise Forbidden("Enter the passcode you were given.", code="passcode_required")
    limits, wrong = context_of(request).limits, bucket_of(request, WRONG_PASSCODES)
    limits.check(wrong, detail=_WRONG)
    async with context_of(request).db.as_system(on_behalf_of=key_of(request).token) as conn:
        attempt = await shares.try_passcode(conn, key_of(request))
    if attempt is None:
        raise NotFound(NO_LINK)
    if attempt["retry_after"]:
        detail = f"Too many wrong passcodes. Try again in {_wait(attempt['retry_after'])}."
        raise TooMany(detail, retry_after=attempt["retry_after"])
    hashing, link = context_of(request).passcodes, key_of(request).token
    if not await passcode_fits(hashing, attempt["passcode_hash"], passcode, whose=link):
        await limits.spend(wrong, detail=_WRONG)
        raise Forbidden("That is not the passcode. Please check it and try again.", code="passcode_wrong")
    found: str = attempt["passcode_hash"]
    return found


def _wait(seconds: int) -> str:
    """Word a wait in the largest unit of which it has two, rounded up."""
    for unit, length in (("day", 86_400), ("hour", 3600)):
        if seconds > 2 * length:
            return f"{-(-seconds // length)} {unit}s"
    minutes = -(-seconds // 60)
    return f"{minutes} minute{'s' if minutes > 1 else ''}"


def _option(request: Request) -> str:
    """Return the option that the customer looks at."""
    return request.query_params.get("option", "")


def _landing(request: Request, share: Record, *, status: int = 200, problem: str = "") -> Response:
    shown = {name: share[name] for name in ("has_passcode", "company", "customer", "has_logo")}
    values = {**shown, "problem": problem, "once": new_secret()}
    return _page(request, "share/landing.html", status=status, **values)


def _page(request: Request, template: str, *, status: int = 200, **values: object) -> Response:
    values["here"] = address_here(request)
    return context_of(request).templates.TemplateResponse(request, template, values, status_code=status)


def _refuse(request: Request, share: Record, problem: RequestError) -> Response:
    """Show the landing page again with the error; a program gets the problem document instead."""
    if not wants_page(request):
        raise problem
    response = _landing(request, share, status=STATUS[type(problem)], problem=problem.detail)
    if isinstance(problem, TooMany):
        response.headers["retry-after"] = str(round(problem.retry_after))
    return response


def _back(request: Request) -> Response:
    return RedirectResponse(address_here(request), 303)


def _with_session(request: Request, secret: str) -> Response:
    response = _back(request)
    response.set_cookie(
        SESSION_COOKIE,
        secret,
        max_age=SESSION_SECONDS,
        path=address_here(request),
        httponly=True,
        samesite="strict",
        secure=public_origin(request, context_of(request).settings).startswith("https:"),
    )
    return response


routes: list[BaseRoute] = [
    share_route("/e/{token}", SharePage),
    share_route("/e/{token}/open", OpenShare),
    share_route("/e/{token}/decision", DecideShare),
    share_route("/e/{token}/question", AskShare),
    share_route("/e/{token}/news", ShareNews),
    share_route("/e/{token}/thread", ShareThread),
    *files.routes,
    *downloads.routes,
    share_route("/e/{token}/{rest:path}", Nothing),
]

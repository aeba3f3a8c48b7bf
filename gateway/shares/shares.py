"""The contractor's side of shares: make a link, replace it, follow it, end it."""

from datetime import datetime
from http.client import CREATED
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.auth.idempotency import idempotent
from gateway.context import context_of
from gateway.documents.display_form import ShareDisplayChoice
from gateway.http.body import Trimmed, json_response, read_json, uuid_param
from gateway.http.client_info import public_origin
from gateway.http.conditional import etag_of, require_match, tagged_response
from gateway.http.input.paging import read_page
from gateway.http.input.text import OneLine
from gateway.http.limits.cost_limits import PASSCODE_SHARES
from gateway.shares.form import Sha256
from gateway.shares.link_secrets import digest, hash_passcode, new_secret
from store.documents.certificate import Certificate
from store.documents.display import Display
from store.estimates import estimates
from store.pool import Record
from store.shares import shares

WEEK_SECONDS = 7 * 86_400
LEAST_SECONDS = 300
MOST_SECONDS = 90 * 86_400
TIMELINE_EVENTS = 500

_DECISION = ("decision", "name", "message", "decided_at", "option", "total", "taken")
_MAIL = ("mail_to", "mail_state", "mail_reason")


class Rotation(BaseModel):
    """Another link for the same share; `expires_in` gives it a new end too."""

    model_config = ConfigDict(extra="forbid")

    expires_in: Annotated[int, Field(strict=True, ge=LEAST_SECONDS, le=MOST_SECONDS)] | None = None


class ShareOrder(BaseModel):
    """A link somebody asks for."""

    model_config = ConfigDict(extra="forbid")

    recipient: Annotated[OneLine, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    expires_in: Annotated[int, Field(strict=True, ge=LEAST_SECONDS, le=MOST_SECONDS)] = WEEK_SECONDS
    max_views: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = None
    passcode: Annotated[str, StringConstraints(strip_whitespace=True, min_length=4, max_length=64)] | None = None
    display: ShareDisplayChoice = ShareDisplayChoice()
    in_person: bool = False


class ShareChange(BaseModel):
    """A change to a link: the parts that its customer sees, the newest version to send, and reminders."""

    model_config = ConfigDict(extra="forbid")

    display: ShareDisplayChoice | None = None
    estimate_id: UUID | None = None
    reminders: Annotated[bool, Field(strict=True)] | None = None


class PhoneDecision(BaseModel):
    """A decision that the customer took by phone, on the version with this content; accepting needs a name."""

    model_config = ConfigDict(extra="forbid")

    decision: shares.Decision
    content_hash: Sha256
    name: Annotated[OneLine, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    message: Annotated[str, Trimmed, Field(max_length=2000)] = ""
    option: Annotated[str, StringConstraints(max_length=60)] | None = None


class Answer(BaseModel):
    """An answer to a customer's question."""

    model_config = ConfigDict(extra="forbid")

    body: Annotated[str, Trimmed, Field(min_length=1, max_length=2000)]


async def create_share(request: Request) -> Response:
    """Make a link to the newest version of an estimate; its token is in this answer and nowhere else, ever."""
    principal = await admit(request)
    estimate_id = uuid_param(request.path_params["estimate_id"], "estimate_id")
    order = await read_json(request, ShareOrder)
    context = context_of(request)
    if order.passcode:
        context.costs.spend(PASSCODE_SHARES, principal.who)
    token = new_secret()
    new = shares.NewShare(
        token_hash=digest(token),
        recipient=order.recipient,
        expires_in=order.expires_in,
        max_views=order.max_views,
        passcode_hash=(
            await hash_passcode(context.passcodes, order.passcode, whose=principal.tenant_id)
            if order.passcode
            else None
        ),
        display=order.display.as_json(),
        in_person=order.in_person,
    )
    async with context.db.as_user(principal.claims) as conn:
        share = await shares.create(conn, estimate_id, new, tenant_id=principal.tenant_id, created_by=principal.user_id)
    return _with_link(request, share, token, 201)


async def list_shares(request: Request) -> Response:
    """Answer {shares: [...], has_more, next}, newest first, with the views and the decision of each."""
    principal = await admit(request)
    estimate_id = uuid_param(request.path_params["estimate_id"], "estimate_id")
    page = read_page(request, datetime.fromisoformat, UUID, usual=100)
    async with context_of(request).db.as_user(principal.claims) as conn:
        rows = await shares.of_estimate(conn, estimate_id, page.reach, page.after)
    return json_response(page.answer("shares", rows, lambda row: (row["created_at"], row["id"]), share_json))


async def read_share(request: Request) -> Response:
    """Answer a share with its views and its decision."""
    principal = await admit(request)
    share_id = uuid_param(request.path_params["share_id"], "share_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        share = await shares.get(conn, share_id)
    return tagged_response(request, share_json(share))


async def change_share(request: Request) -> Response:
    """Change the parts that the customer of a link sees, or send the newest version with it; a field left out stays."""
    principal = await admit(request)
    share_id = uuid_param(request.path_params["share_id"], "share_id")
    change = await read_json(request, ShareChange)
    async with context_of(request).db.as_user(principal.claims) as conn:
        before = await shares.get(conn, share_id)
        require_match(request, etag_of(share_json(before)))
        if change.estimate_id:
            await shares.send_version(conn, share_id, change.estimate_id)
        if change.display is not None:
            await shares.change_display(conn, share_id, change.display.as_json())
        if change.reminders is not None:
            await shares.set_reminders(conn, share_id, on=change.reminders)
        share = await shares.get(conn, share_id)
    return tagged_response(request, share_json(share))


async def record_decision(request: Request) -> Response:
    """Record a customer's decision by phone; the certificate says so."""
    principal = await admit(request, min_role="member")
    share_id = uuid_param(request.path_params["share_id"], "share_id")
    told = await read_json(request, PhoneDecision)
    said = shares.Said(**told.model_dump(), terms_hash="")
    async with context_of(request).db.as_user(principal.claims) as conn:
        return json_response(share_json(await shares.record_decision(conn, share_id, said)))


async def list_questions(request: Request) -> Response:
    """Answer {questions: [{id, kind, name, body, sent_at}], has_more, next}, oldest first."""
    principal = await admit(request)
    share_id = uuid_param(request.path_params["share_id"], "share_id")
    page = read_page(request, datetime.fromisoformat, UUID)
    async with context_of(request).db.as_user(principal.claims) as conn:
        rows = await shares.questions(conn, share_id, page.reach, page.after)
    return json_response(page.answer("questions", rows, lambda row: (row["sent_at"], row["id"])))


async def answer_question(request: Request) -> Response:
    """Answer the customer on the link's own page: 201 with the answer as it stands in the thread."""
    principal = await admit(request, min_role="member")
    share_id = uuid_param(request.path_params["share_id"], "share_id")
    reply = await read_json(request, Answer)
    async with context_of(request).db.as_user(principal.claims) as conn:
        answer = await shares.answer(conn, share_id, reply.body)
    return json_response(answer, CREATED, {"location": f"/v1/shares/{share_id}/questions"})


async def revoke_share(request: Request) -> Response:
    """End a link and every session opened with it."""
    principal = await admit(request)
    share_id = uuid_param(request.path_params["share_id"], "share_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        share = await shares.revoke(conn, share_id)
    return json_response(share_json(share))


async def rotate_share(request: Request) -> Response:
    """Give a share another link, in this answer and nowhere else; the old one and its sessions are dead at once."""
    principal = await admit(request)
    share_id = uuid_param(request.path_params["share_id"], "share_id")
    order = await read_json(request, Rotation)
    token = new_secret()
    async with context_of(request).db.as_user(principal.claims) as conn:
        share = await shares.rotate(conn, share_id, digest(token), expires_in=order.expires_in)
    return _with_link(request, share, token, 200)


async def timeline(request: Request) -> Response:
    """Answer {events: [{kind, happened_at, user_agent_class, ...}], has_more, next}, oldest first."""
    principal = await admit(request)
    share_id = uuid_param(request.path_params["share_id"], "share_id")
    page = read_page(request, datetime.fromisoformat, str, UUID, usual=100, most=TIMELINE_EVENTS)
    async with context_of(request).db.as_user(principal.claims) as conn:
        rows = await shares.timeline(conn, share_id, page.reach, page.after)
    return json_response(page.answer("events", rows, lambda row: (row["happened_at"], row["kind"], row["id"]), _event))


async def certificate(request: Request) -> Response:
    """Answer the certificate of an acceptance, and whether it still certifies the rows of the database.

    `holds`: the text has its fingerprint, and the accepted version's lines, reckoned anew, have the hash it names.
    """
    principal = await admit(request)
    share_id = uuid_param(request.path_params["share_id"], "share_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        row = await shares.acceptance(conn, share_id)
        accepted = await estimates.get(conn, row["estimate_id"])
    found = Certificate(row["certificate"], row["fingerprint"])
    return json_response(found.as_json() | {"holds": found.certifies(estimates.computed_hash(accepted))})


def _with_link(request: Request, share: Record, token: str, status: int) -> Response:
    link = f"{public_origin(request, context_of(request).settings)}/e/{token}"
    headers = {"cache-control": "no-store"} | ({"location": f"/v1/shares/{share['id']}"} if status == CREATED else {})
    return json_response(share_json(share) | {"token": token, "url": link}, status, headers)


def _event(row: Record) -> dict[str, Any]:
    """Shape an event of a share's story; its id is the cursor's alone."""
    return {name: value for name, value in row.items() if name != "id"}


def share_json(share: Record) -> dict[str, Any]:
    """Shape a share for its owner, with its `status`.

    `decision` is None or {decision, name, message, decided_at}; `mail`, the newest, is None or {to, state, reason}.
    """
    plain = {key: value for key, value in share.items() if key not in (*_DECISION, *_MAIL)}
    decided = {key: share[key] for key in _DECISION}
    mailed = {key.removeprefix("mail_"): share[key] for key in _MAIL}
    return plain | {
        "display": Display.of(share["display"]).as_json(),
        "decision": decided if share["decision"] else None,
        "mail": mailed if share["mail_to"] else None,
    }


routes = [
    Route("/v1/estimates/{estimate_id}/shares", idempotent(create_share), methods=["POST"]),
    Route("/v1/estimates/{estimate_id}/shares", list_shares),
    Route("/v1/shares/{share_id}", read_share),
    Route("/v1/shares/{share_id}", change_share, methods=["PATCH"]),
    Route("/v1/shares/{share_id}/revoke", revoke_share, methods=["POST"]),
    Route("/v1/shares/{share_id}/rotate", idempotent(rotate_share), methods=["POST"]),
    Route("/v1/shares/{share_id}/decision", idempotent(record_decision), methods=["POST"]),
    Route("/v1/shares/{share_id}/questions", list_questions),
    Route("/v1/shares/{share_id}/questions", idempotent(answer_question), methods=["POST"]),
    Route("/v1/shares/{share_id}/timeline", timeline),
    Route("/v1/shares/{share_id}/certificate", certificate),
]

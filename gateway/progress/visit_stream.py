"""Progress of a visit: as a stream, by a ticket for clients that cannot send a header, or page by page."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.flags import Flag, is_on
from gateway.auth.auth import NO_MEMBER, identify
from gateway.auth.idempotency import idempotent
from gateway.auth.principal import Principal
from gateway.auth.sessions import require_live
from gateway.context import Context, context_of
from gateway.http.body import int_param, json_bytes, json_response, read_json, uuid_param
from gateway.http.client_info import address_of, limit_key
from gateway.http.limits.cost_limits import HISTORY_PAGES
from gateway.progress.responses import (
    LAST_SEQ,
    PAGE,
    Answer,
    busy,
    foreign_id,
    last_event_id,
    may_replay,
    not_enabled,
    query_param,
    require_member,
    stream_or_drop,
)
from realtime.channels.subscriber import Subscriber
from realtime.protocol import wire
from realtime.protocol.epoch import lost_in_crash
from realtime.streams.stream import ProgressStream, StaticStream
from store.errors import Forbidden, NotFound, Unauthenticated
from store.events import events, tickets
from store.limits.shared_limits import Bucket, Limit
from store.pool import Record

TICKET_SECONDS = 30
# What asking costs, in pages: a client without streams asks every few seconds for each visit it shows.
AN_EMPTY_PAGE = 0.05
# Unknown tickets from one address: many people watch behind one, and all of them may come back with old tickets.
UNKNOWN_TICKETS = Limit("unknown_tickets", burst=300, per_second=5)
_NO_VISIT = "There is no such visit."
_NO_STORE = {"cache-control": "no-store"}


class StreamRequest(BaseModel):
    """The body that `functions.invoke("sse-progress", {body})` sends."""

    model_config = ConfigDict(extra="forbid")

    visit_id: str = ""


async def progress(request: Request) -> Answer:
    """Stream a visit's progress from its path."""
    return await _stream(request, request.path_params["visit_id"])


async def sse_progress(request: Request) -> Answer:
    """Stream a visit's progress under the runbook's address."""
    return await _stream(request, request.query_params.get("visit_id", ""))


async def invoke_progress(request: Request) -> Answer:
    """Stream a visit's progress as supabase-js invokes a function: by POST, the visit in the body or the address."""
    asked = await read_json(request, StreamRequest)
    return await _stream(request, asked.visit_id or request.query_params.get("visit_id", ""))


async def ticket(request: Request) -> Response:
    """Give out a ticket to one visit's stream, to be opened within 30 s.

    It also resumes that stream, until the token that asked for it ends: an EventSource comes back to the same address.
    HEAD and `busy` do not use it up. The address opens the stream for anybody; only its hash is kept.
    """
    visit_id = uuid_param(request.path_params["visit_id"], "visit_id")
    principal = await identify(request)
    await _require_visit(request, principal, visit_id)
    secret = secrets.token_urlsafe(32)
    async with context_of(request).db.as_user(principal.claims) as conn:
        await tickets.issue(
            conn,
            ticket_hash=_hash(secret),
            tenant_id=principal.tenant_id,
            visit_id=visit_id,
            claims=principal.claims,
            seconds=TICKET_SECONDS,
        )
    answer = {
        "ticket": secret,
        "expires_at": datetime.now(UTC) + timedelta(seconds=TICKET_SECONDS),
        "url": f"/v1/visits/{visit_id}/progress?ticket={secret}",
    }
    return json_response(answer, 201, {**_NO_STORE, "location": str(answer["url"])})


async def page(request: Request) -> Response:
    """Return the events after a position, for clients that poll."""
    visit_id = uuid_param(request.path_params["visit_id"], "visit_id")
    principal = await identify(request)
    await _require_visit(request, principal, visit_id)
    after = int_param(request.query_params.get("after"), "after", low=0, high=LAST_SEQ) or 0
    limit = int_param(request.query_params.get("limit"), "limit", low=1, high=PAGE) or PAGE
    costs = context_of(request).costs
    costs.spend(HISTORY_PAGES, principal.who, AN_EMPTY_PAGE)
    async with context_of(request).db.as_system(on_behalf_of=principal.who[0]) as conn:
        rows = await events.after(conn, visit_id, after, limit)
        costs.charge(HISTORY_PAGES, principal.who, len(rows) / PAGE)
        # Read after the page: an event that comes between the two only says that there is more.
        last_seq = max((row["last_seq"] for row in await events.heads(conn, [visit_id])), default=0)
    return _page_response(rows, last_seq=last_seq, after=after)


def _page_response(rows: list[Record], *, last_seq: int, after: int) -> Response:
    """Join the documents as they are: an answer to a poll equals the stream, byte for byte."""
    reached = rows[-1]["seq"] if rows else max(after, last_seq)
    documents = ",".join(row["document"] for row in rows)
    has_more = "true" if reached < last_seq else "false"
    body = f'{{"events":[{documents}],"last_seq":{last_seq},"has_more":{has_more}}}'
    return Response(body, headers=_NO_STORE, media_type="application/json")


async def _stream(request: Request, text: str) -> Answer:
    visit_id = uuid_param(text, "visit_id")
    principal = await _caller(request, visit_id)
    if request.method == "HEAD":
        return await _not_streamed(request, principal, visit_id, StaticStream())
    context, name = context_of(request), str(visit_id)
    # Admitted before anything is read for it, or what happens meanwhile would be missed.
    subscriber = context.hub.admission.subscribe(
        name, *principal.who, expires_at=principal.expires_at, session_id=principal.session_id
    )
    if subscriber is None:
        return await _not_streamed(request, principal, visit_id, busy(context))
    return await stream_or_drop(subscriber, _opened(context, principal, subscriber, last_event_id(request)))


async def _not_streamed(request: Request, principal: Principal, visit_id: UUID, answer: Answer) -> Answer:
    """Give this answer to callers that may have the stream; the others are refused."""
    gate = await _gate(request, principal, visit_id)
    if not is_on(gate["flags"] or {}, Flag.PROGRESS):
        return not_enabled()
    if not gate["visible"]:
        raise NotFound(_NO_VISIT)
    return answer


async def _opened(context: Context, principal: Principal, subscriber: Subscriber, seen: str | None) -> Answer:
    """Decide where an admitted stream begins: after the client's last event, or with a snapshot."""
    admission, channel, who, found = context.hub.admission, subscriber.channel, principal.who, None
    if seen is None or not admission.knows(channel, *who):
        [found] = require_member(await admission.initial_states(*who, [channel], snapshot=seen is None))
        if not found["enabled"]:
            return not_enabled()
        if not found["visible"]:
            raise NotFound(_NO_VISIT)
    last_id, head = _seq(seen), channel.head or 0
    if last_id is None and found is not None:
        return await _from_snapshot(context, principal, subscriber, found)
    if last_id is not None and (last_id > head or channel.position_lost(last_id)):
        return await _ahead(context, principal, subscriber, last_id)
    if last_id == head and channel.ended_by is not None:
        return Response(status_code=204, headers=_NO_STORE)  # which stops an EventSource for good
    return _resumed(context, subscriber, last_id=last_id or 0, head=head)


def _resumed(context: Context, subscriber: Subscriber, *, last_id: int, head: int) -> Answer:
    if not may_replay(context, (subscriber.tenant_id, subscriber.user_id), head - last_id):
        return busy(context)
    opening = wire.opening(last_seq=head, recovered=True, retry_ms=context.hub.retry_ms())
    return ProgressStream(context.hub, subscriber, opening=opening, position=last_id)


async def _ahead(context: Context, principal: Principal, subscriber: Subscriber, last_id: int) -> Answer:
    """Begin with a snapshot, unless the client's last event is only newer than what this process has received."""
    opening = context.hub.admission.initial_states(*principal.who, [subscriber.channel], snapshot=True, fresh=True)
    [found] = require_member(await opening)
    if last_id <= found["last_seq"] and not lost_in_crash(last_id, found["epoch_ends"]):
        return _resumed(context, subscriber, last_id=last_id, head=found["last_seq"])
    return await _from_snapshot(context, principal, subscriber, found)


async def _from_snapshot(context: Context, principal: Principal, subscriber: Subscriber, found: Record) -> Answer:
    head = found["last_seq"]
    payload = {"job": await _job(context, principal, found["job_id"]), "steps": found["steps"]}
    opening = wire.opening(last_seq=head, recovered=False, retry_ms=context.hub.retry_ms()) + wire.snapshot(
        subscriber.channel.visit_id,
        head,
        found["job_id"],
        json_bytes(payload),
        datetime.now(UTC),
        sse_id=head,
    )
    return ProgressStream(context.hub, subscriber, opening=opening, position=head)


async def _job(context: Context, principal: Principal, job_id: UUID | None) -> dict[str, Any] | None:
    """Return the status of the job, read after the position: what it is ahead, the stream says again."""
    if job_id is None:
        return None
    async with context.db.as_user(principal.claims) as conn:
        try:
            return await context.queue.status(conn, job_id)
        except NotFound:  # cleaned up since
            return None


async def _caller(request: Request, visit_id: UUID) -> Principal:
    """Return the caller: by ticket, else as everywhere, with a token that lives. Raises `Unauthenticated`."""
    secret = query_param(request, "ticket")
    principal = await identify(request) if secret is None else await _holder(request, visit_id, secret)
    principal.require_unexpired()
    return principal


async def _holder(request: Request, visit_id: UUID, secret: str) -> Principal:
    """Return a ticket's user.

    Raises `Unauthenticated`, and `TooMany` for an address that tried too many tickets that were none.
    """
    limits, unknown = context_of(request).limits, Bucket(UNKNOWN_TICKETS, limit_key(address_of(request)))
    limits.check(unknown)
    async with context_of(request).db.as_system() as conn:
        claims = await tickets.use(conn, _hash(secret), visit_id, opens=request.method != "HEAD")
    if claims is None:
        await limits.spend(unknown)
        raise Unauthenticated("The ticket has expired or is for another visit; get a new one.")
    principal = Principal.from_claims(claims)
    if principal.session_id is not None:
        await require_live(request, principal)
    tenant_id, user_id = principal.who
    structlog.contextvars.bind_contextvars(tenant_id=tenant_id, user_id=user_id)
    return principal


async def _gate(request: Request, principal: Principal, visit_id: UUID) -> Record:
    """Tell whether the tenant has streams, and whether it has this visit. Raises `Forbidden` for no member."""
    async with context_of(request).db.as_user(principal.claims) as conn:
        gate = await events.watch_rights(conn, visit_id)
    if gate["role"] is None:
        raise Forbidden(NO_MEMBER, code="not_a_member")
    return gate


async def _require_visit(request: Request, principal: Principal, visit_id: UUID) -> None:
    gate = await _gate(request, principal, visit_id)
    if not is_on(gate["flags"] or {}, Flag.PROGRESS):
        detail = f"`{Flag.PROGRESS}` is not enabled for this tenant; ask an administrator to turn it on."
        raise NotFound(detail, code="feature_off")
    if not gate["visible"]:
        raise NotFound(_NO_VISIT)


def _seq(text: str | None) -> int | None:
    """Read the seq the client saw last. Raises `InvalidInput`."""
    if text is None:
        return None
    digits = text.lstrip("0") or "0"
    if not (text.isascii() and text.isdigit()) or int(digits[:20]) > LAST_SEQ:
        raise foreign_id("visit")
    return int(digits)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


# Answered by `gateway.progress.app`; the framework has them for its list of addresses and their methods.
STREAMS = [
    Route("/v1/visits/{visit_id}/progress", progress),
    Route("/functions/v1/sse-progress", sse_progress),
    Route("/functions/v1/sse-progress", invoke_progress, methods=["POST"]),
]
routes = [
    *STREAMS,
    Route("/v1/visits/{visit_id}/progress/ticket", idempotent(ticket), methods=["POST"]),
    Route("/v1/visits/{visit_id}/events", page),
]

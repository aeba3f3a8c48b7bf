"""Progress of several visits on one stream."""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import identify
from gateway.auth.principal import Principal
from gateway.context import Context, context_of
from gateway.http.body import json_bytes, uuid_param
from gateway.progress.responses import (
    LAST_SEQ,
    Answer,
    busy,
    foreign_id,
    last_event_id,
    may_replay,
    not_enabled,
    require_member,
    stream_or_drop,
)
from realtime.protocol import wire
from realtime.protocol.epoch import lost_in_crash
from realtime.streams.multi_stream import MultiStream
from realtime.streams.multi_subscription import MultiSubscription, positions_of
from realtime.streams.stream import StaticStream
from store.errors import InvalidInput, NotFound
from store.events import events
from store.pool import Record

MOST_VISITS = 50


async def progress_many(request: Request) -> Answer:
    """Stream the progress of up to 50 visits: `GET /v1/progress?visit_id=a&visit_id=b`.

    Each event is a message as on the visit's own stream, once and in the order of its visit. Its `id` is a cursor,
    `NAME:SEQ.SEQ...`: a name of the list of visits, and the seq reached in each, in the order of their ids. Sent back
    as Last-Event-ID for the same visits it resumes all of them. One of another list begins afresh: a snapshot of each
    visit, of which only the last has an id, so that a client cut off among them begins again.
    `open` is `{last_seq: {visit: seq}, recovered}`. The end of a job does not end the stream.
    400 without ids, with too many or a malformed one; 404 when any of the visits is not the caller's.
    """
    visit_ids = _visit_ids(request)
    principal = await identify(request)
    principal.require_unexpired()
    if request.method == "HEAD":
        return await _not_streamed(request, principal, visit_ids, StaticStream())
    context = context_of(request)
    multi = context.hub.admission.subscribe_all(
        visit_ids, *principal.who, expires_at=principal.expires_at, session_id=principal.session_id
    )
    if multi is None:
        return await _not_streamed(request, principal, visit_ids, busy(context))
    return await stream_or_drop(multi.subscriber, _opened(request, principal, multi))


def _visit_ids(request: Request) -> list[str]:
    """Return the ids, each once and sorted, so that their order in the address does not matter."""
    given = request.query_params.getlist("visit_id")
    if not 1 <= len(given) <= MOST_VISITS:
        raise InvalidInput(f"Name between 1 and {MOST_VISITS} visits, each as `visit_id`.", field="visit_id")
    return sorted({str(uuid_param(text, "visit_id")) for text in given})


async def _not_streamed(request: Request, principal: Principal, visit_ids: list[str], answer: Answer) -> Answer:
    """Give this answer to callers that may have the stream; the others get their error."""
    async with context_of(request).db.as_system() as conn:
        found = await events.initial_states(conn, *principal.who, visit_ids, snapshot=False)
    require_member(found if principal.user_id in found[0]["members"] else None)
    return _denied(found) or answer


def _denied(found: list[Record]) -> Response | None:
    """Return the answer to a tenant without streams, None when all is well. Raises `NotFound`."""
    if not all(row["enabled"] for row in found):
        return not_enabled()
    if not all(row["visible"] for row in found):
        raise NotFound("There is no such visit among them.")
    return None


async def _opened(request: Request, principal: Principal, multi: MultiSubscription) -> Answer:
    """Decide where an admitted stream begins: at the client's cursor, or with snapshots."""
    context, who = context_of(request), principal.who
    channels = [subscription.channel for subscription in multi.subscriptions]
    cursor = last_event_id(request)
    found = require_member(await context.hub.admission.initial_states(*who, channels, snapshot=not cursor))
    if (denial := _denied(found)) is not None:
        return denial
    if cursor:
        positions = _positions(cursor, [channel.visit_id for channel in channels])
        if _reached(positions, found):
            return _resumed(context, principal, multi, found, positions or [])
        # Read anew: the client may have heard, of another process, what this one has not.
        found = require_member(await context.hub.admission.initial_states(*who, channels, snapshot=True, fresh=True))
        if _reached(positions, found):
            return _resumed(context, principal, multi, found, positions or [])
    return await afresh(context, principal, multi, found)


def _resumed(
    context: Context, principal: Principal, multi: MultiSubscription, found: list[Record], positions: list[int]
) -> Answer:
    missed = sum(row["last_seq"] - position for row, position in zip(found, positions, strict=True))
    if not may_replay(context, principal.who, missed):
        return busy(context)
    return _begun(context, multi, found, positions, recovered=True)


def _reached(positions: list[int] | None, found: list[Record]) -> bool:
    """Whether the table has got as far as the client in every visit, and has all that the client was sent."""
    return positions is not None and all(
        position <= row["last_seq"] and not lost_in_crash(position, row["epoch_ends"])
        for position, row in zip(positions, found, strict=True)
    )


async def afresh(context: Context, principal: Principal, multi: MultiSubscription, found: list[Record]) -> MultiStream:
    """Begin a stream with a snapshot of each visit; only the last has an id."""
    payloads = await _payloads(context, principal, found)
    stream = _begun(context, multi, found, [row["last_seq"] for row in found], recovered=False)
    now = datetime.now(UTC)
    for row, payload in zip(found, payloads, strict=True):
        sse_id = multi.cursor if row is found[-1] else None
        stream.opening += wire.snapshot(
            str(row["visit_id"]), row["last_seq"], row["job_id"], payload, now, sse_id=sse_id
        )
    return stream


def _begun(
    context: Context, multi: MultiSubscription, found: list[Record], positions: list[int], *, recovered: bool
) -> MultiStream:
    for subscription, position in zip(multi.subscriptions, positions, strict=True):
        subscription.position = position
    last_seq = {str(row["visit_id"]): row["last_seq"] for row in found}
    opening = wire.opening(last_seq=last_seq, recovered=recovered, retry_ms=context.hub.retry_ms())
    return MultiStream(context.hub, multi, opening=opening)


async def _payloads(context: Context, principal: Principal, found: list[Record]) -> list[bytes]:
    """Return each snapshot's payload; the jobs are read after the positions: newer events come on the stream again."""
    payloads: list[dict[str, Any]] = []
    async with context.db.as_user(principal.claims) as conn:
        for row in found:
            job = None
            if row["job_id"] is not None:
                try:
                    job = await context.queue.status(conn, row["job_id"])
                except NotFound:  # cleaned up since
                    job = None
            payloads.append({"job": job, "steps": row["steps"]})
    return [json_bytes(payload) for payload in payloads]


def _positions(cursor: str, visit_ids: list[str]) -> list[int] | None:
    try:
        positions = positions_of(cursor, visit_ids)
    except ValueError:
        raise foreign_id("stream") from None
    if positions and max(positions) > LAST_SEQ:
        raise foreign_id("stream")
    return positions


routes = [Route("/v1/progress", progress_many)]

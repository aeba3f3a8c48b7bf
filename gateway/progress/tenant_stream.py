"""Progress of all visits of a tenant on one stream, for its managers."""

from uuid import UUID

from starlette.requests import Request
from starlette.routing import Route

from config.flags import Flag, is_on
from gateway.auth.auth import NO_MEMBER, identify
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.progress.multi_stream import afresh
from gateway.progress.responses import Answer, busy, not_enabled, require_member, stream_or_drop
from realtime.streams.multi_subscription import subscribe_visit
from realtime.streams.stream import StaticStream
from realtime.streams.tenant_subscription import TenantSubscription
from store.accounts.memberships import reaches
from store.errors import Forbidden
from store.events import events

MOST_SNAPSHOTS = 50
_NO_VISIT = UUID(int=0)


async def progress_tenant(request: Request) -> Answer:
    """Stream the events of every visit of the caller's tenant: `GET /v1/tenant/progress`, for owners, admins.

    It begins with a snapshot of each visit that has a job waiting or running, at most the 50 newest. From then on each
    event of any visit comes once and in the order of its visit. There are no ids, for there is no place in a whole
    tenant's events to resume at: a client that reconnects begins with snapshots again. So it suits an overview;
    a client that must not miss an event watches its visit. `hello` is as on a stream of several visits.
    """
    principal = await identify(request)
    principal.require_unexpired()
    if request.method == "HEAD":
        return await _opened(request, principal, StaticStream())
    context = context_of(request)
    stream = context.hub.admission.subscribe_tenant(
        *principal.who, expires_at=principal.expires_at, session_id=principal.session_id
    )
    if stream is None:
        return await _opened(request, principal, busy(context))
    return await stream_or_drop(stream.subscriber, _opened(request, principal, stream))


async def _opened(request: Request, principal: Principal, stream: TenantSubscription | StaticStream) -> Answer:
    """Open an admitted stream; a caller that may have it gets the answer given instead, the others their error."""
    context = context_of(request)
    async with context.db.as_user(principal.claims) as conn:
        gate = await events.watch_rights(conn, _NO_VISIT)
        at_work = await events.at_work(conn, MOST_SNAPSHOTS)
    if gate["role"] is None:
        raise Forbidden(NO_MEMBER, code="not_a_member")
    if not reaches(gate["role"], "admin"):
        raise Forbidden(
            "All visits at once are for owners and admins of the tenant; watch visits by name.", code="role_too_low"
        )
    if not is_on(gate["flags"] or {}, Flag.PROGRESS):
        return not_enabled()
    if isinstance(stream, StaticStream):
        return stream
    channels = [context.hub.channels.open(str(visit_id)) for visit_id in at_work]
    for channel in channels:
        subscribe_visit(context.hub.channels, channel, stream)
    found = []
    if channels:
        initial_states = context.hub.admission.initial_states(*principal.who, channels, snapshot=True, fresh=True)
        found = require_member(await initial_states)
    return await afresh(context, principal, stream, found)


routes = [Route("/v1/tenant/progress", progress_tenant)]

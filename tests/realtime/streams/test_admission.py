"""Who gets a stream, who does not, and when one is taken away."""

import asyncio
import contextlib
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from config.settings import Settings
from gateway.auth import credentials
from realtime.hub import _rounds
from realtime.streams.stream_limits import Limits
from store.pool import Database
from tests.realtime.client.eventsource import EventStream
from tests.realtime.feed.watcher import is_open, path, watch
from tests.realtime.stream_gateway import StreamGateway, make_visit, open_gateway, tell
from tests.tenants import Tenant, open_session

# A second is the promise; a busy machine may take another.
WITHIN_SECONDS = 2


async def get(gateway: StreamGateway, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Ask for what is no stream; a stream would run into the deadline."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=5) as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize("visit_id", ["7", "not-a-uuid", "0198c5a27d3e7a109a643f1d2c5b7e90"])
async def test_a_malformed_visit_is_400_even_for_strangers(gateway: StreamGateway, visit_id: str) -> None:
    """The form of the id is looked at before anything else."""
    for address in (f"/v1/visits/{visit_id}/progress", f"/functions/v1/sse-progress?visit_id={visit_id}"):
        answer = await get(gateway, address)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


async def test_a_stranger_is_401(gateway: StreamGateway, visit: UUID) -> None:
    """Without a token there is no stream, nor a page, nor a ticket."""
    answer = await get(gateway, path(visit))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="scopekit"')
    assert (await get(gateway, f"/v1/visits/{visit}/events")).status_code == 401
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.post(f"{path(visit)}/ticket")).status_code == 401


async def test_a_tenant_without_the_flag_is_told_so(
    gateway: StreamGateway, admin: asyncpg.Connection, tenant: Tenant, visit: UUID
) -> None:
    """Flag off is the runbook's 404 in plain text, before the visit is looked at."""
    await admin.execute("UPDATE tenant_settings SET feature_flags = '{}' WHERE tenant_id = $1", tenant.id)
    for address in (path(visit), path(uuid4())):
        answer = await get(gateway, address, tenant.headers)
        assert (answer.status_code, answer.text) == (404, "SSE not enabled")
        assert answer.headers["content-type"].startswith("text/plain")


async def test_a_foreign_visit_is_as_unknown_as_one_that_never_was(
    gateway: StreamGateway, tenant: Tenant, other_tenant: Tenant, visit: UUID
) -> None:
    """Another tenant's visit and no visit at all give the same 404."""
    answers = [await get(gateway, path(each), other_tenant.headers) for each in (visit, uuid4())]
    for answer in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert answer.json()["detail"] == "There is no such visit."
    assert (await get(gateway, f"/v1/visits/{visit}/events", other_tenant.headers)).status_code == 404
    assert gateway.hub.stats()["streams"] == 0


@pytest.mark.parametrize("last_id", ["-1", "x", "1.5", "9" * 30, "0" * 20 + "9" * 30, "0" * 20 + "9" * 5000, "٣"])
async def test_a_malformed_last_id_is_400(gateway: StreamGateway, tenant: Tenant, visit: UUID, last_id: str) -> None:
    """What is no id of ours is refused, and the stream it was admitted for is let go."""
    answer = await get(gateway, f"{path(visit)}?last_event_id={last_id}", tenant.headers)
    assert (answer.status_code, answer.json()["field"]) == (400, "last_event_id")
    assert gateway.hub.stats()["streams"] == 0


async def test_the_runbooks_address_is_the_same_stream(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """`/functions/v1/sse-progress?visit_id=` streams too."""
    async with watch(
        gateway.url, f"/functions/v1/sse-progress?visit_id={visit}", headers=tenant.headers, last_id=0
    ) as watcher:
        await tell(db, tenant, visit, "a.b")
        await watcher.until_seq(1)


async def test_the_session_cookie_opens_a_stream(gateway: StreamGateway, tenant: Tenant, visit: UUID) -> None:
    """A browser's EventSource sends the cookie and nothing else."""
    async with watch(gateway.url, path(visit), headers={"cookie": f"scopekit_session={tenant.session}"}) as watcher:
        await watcher.until(is_open)


async def ask_for_ticket(gateway: StreamGateway, tenant: Tenant, visit: UUID, *, seconds: int = 3600) -> httpx.Response:
    """Ask for a ticket, by a token that ends in `seconds`."""
    headers = {"authorization": f"Bearer {tenant.token(seconds=seconds)}"}
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        return await client.post(f"{path(visit)}/ticket", headers=headers)


async def test_a_ticket_opens_a_stream_and_resumes_it(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID, admin: asyncpg.Connection
) -> None:
    """A ticket stands for its owner's token, also for the connections that follow; only its hash is kept."""
    answer = await ask_for_ticket(gateway, tenant, visit)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    given = answer.json()
    assert len(given["ticket"]) == 43  # 256 bits
    kept = await admin.fetchval("SELECT ticket_hash FROM progress_tickets WHERE visit_id = $1", visit)
    assert given["ticket"].encode() not in kept
    async with watch(gateway.url, given["url"]) as watcher:
        await watcher.until(is_open)
    await tell(db, tenant, visit, "a.b", "a.b")
    async with watch(gateway.url, given["url"], last_id=1) as watcher:
        await watcher.until_seq(2)
        assert watcher.seqs == [2]


async def test_head_and_busy_use_up_no_ticket(
    settings: Settings, db: Database, admin: asyncpg.Connection, tenant: Tenant
) -> None:
    """HEAD leaves a ticket as it was; after `busy` it opens the stream, however long the client had to wait."""
    visit = await make_visit(db, tenant)
    async with open_gateway(settings, limits=Limits(per_user=0)) as gateway:
        given = (await ask_for_ticket(gateway, tenant, visit)).json()
        expiry = "SELECT expires_at FROM progress_tickets WHERE visit_id = $1"
        issued = await admin.fetchval(expiry, visit)
        async with httpx.AsyncClient(base_url=gateway.url) as client:
            assert (await client.head(given["url"])).status_code == 200
        assert await admin.fetchval(expiry, visit) == issued
        assert '"busy"' in (await get(gateway, given["url"])).text
        assert await admin.fetchval(expiry, visit) > issued + timedelta(minutes=1)
        gateway.hub.admission._limiter._limits = Limits()
        async with watch(gateway.url, given["url"]) as watcher:
            await watcher.until(is_open)


async def test_a_ticket_is_for_its_visit_alone(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """Tried at another visit, even of the same tenant, a ticket is unknown; it stays good for its own."""
    other = await make_visit(db, tenant)
    secret = (await ask_for_ticket(gateway, tenant, visit)).json()["ticket"]
    refused = await get(gateway, f"{path(other)}?ticket={secret}")
    assert (refused.status_code, "ticket" in refused.json()["detail"]) == (401, True)
    async with watch(gateway.url, f"{path(visit)}?ticket={secret}") as watcher:
        await watcher.until(is_open)


async def test_a_ticket_ends_with_its_token(gateway: StreamGateway, tenant: Tenant, visit: UUID) -> None:
    """Its stream is told `expired`, and from then on the ticket is 401."""
    given = (await ask_for_ticket(gateway, tenant, visit, seconds=2)).json()
    async with watch(gateway.url, given["url"]) as watcher:
        await watcher.until_closed()
        assert [message.json for message in watcher.named("end")] == [{"reason": "expired"}]
    assert (await get(gateway, given["url"])).status_code == 401


async def test_a_ticket_to_a_foreign_visit_is_not_given(
    gateway: StreamGateway, other_tenant: Tenant, visit: UUID
) -> None:
    """Whoever cannot see the visit gets no ticket to it."""
    assert (await ask_for_ticket(gateway, other_tenant, visit)).status_code == 404


async def test_a_stream_over_the_limit_is_refused_softly(
    settings: Settings, db: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    """One too many is told `busy` in a stream of its own, with a later retry; others are not touched."""
    visit, other = await make_visit(db, tenant), await make_visit(db, other_tenant)
    async with open_gateway(settings, limits=Limits(per_tenant=1)) as gateway:
        async with watch(gateway.url, path(visit), headers=tenant.headers) as first:
            await first.until(is_open)
            answer = await get(gateway, path(visit), tenant.headers)
            async with watch(gateway.url, path(other), headers=other_tenant.headers) as second:
                await second.until(is_open)
        refused = EventStream()
        refused.feed(answer.content)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
        assert [(m.event, m.json) for m in refused.messages] == [("end", {"reason": "busy"})]
        assert 11_000 <= refused.retries[0] <= 14_000
        async with watch(gateway.url, path(visit), headers=tenant.headers) as later:
            await later.until(is_open)


async def test_a_users_oldest_stream_gives_way_to_a_new_one(
    settings: Settings, db: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    """Over the limit of one user the oldest ends as `replaced`, with a late retry; nobody else's does."""
    visit, other = await make_visit(db, tenant), await make_visit(db, other_tenant)
    async with open_gateway(settings, limits=Limits(per_user=2)) as gateway, contextlib.AsyncExitStack() as opened:
        watchers = []
        for number, of in ((visit, tenant), (other, other_tenant), (visit, tenant), (visit, tenant)):
            watcher = await opened.enter_async_context(watch(gateway.url, path(number), headers=of.headers))
            await watcher.until(is_open)
            watchers.append(watcher)
        oldest, others, second, third = watchers
        await oldest.until_closed()
        assert [m.json for m in oldest.named("end")] == [{"reason": "replaced"}]
        assert oldest.stream.retries[-1] >= 15_000
        assert [w.named("end") for w in (others, second, third)] == [[], [], []]
        assert gateway.hub.admission.streams == 3


async def test_a_stream_ends_with_its_token(gateway: StreamGateway, tenant: Tenant, visit: UUID) -> None:
    """Within a second of the token's end the stream says `expired` and closes."""
    headers = {"authorization": f"Bearer {tenant.token(seconds=5)}"}
    async with watch(gateway.url, path(visit), headers=headers) as watcher:
        await watcher.until(is_open)
        began = asyncio.get_running_loop().time()
        await watcher.until_closed()
        took = asyncio.get_running_loop().time() - began
    assert watcher.named("end")[0].json == {"reason": "expired"}
    assert took < 5 + WITHIN_SECONDS


async def test_turning_the_flag_off_ends_the_tenants_streams(
    gateway: StreamGateway, db: Database, admin: asyncpg.Connection, tenant: Tenant, other_tenant: Tenant, visit: UUID
) -> None:
    """Within a second; a change of another flag, or of another tenant's, ends nothing."""
    other = await make_visit(db, other_tenant)
    async with (
        watch(gateway.url, path(visit), headers=tenant.headers) as watcher,
        watch(gateway.url, path(other), headers=other_tenant.headers) as untouched,
    ):
        await watcher.until(is_open)
        await untouched.until(is_open)
        set_flags = "UPDATE tenant_settings SET feature_flags = feature_flags || $2 WHERE tenant_id = $1"
        await admin.execute(set_flags, other_tenant.id, {"other": True})
        async with asyncio.timeout(WITHIN_SECONDS):
            await admin.execute(set_flags, tenant.id, {"visits": {"ws_progress_enabled": False}})
            await watcher.until_closed()
        await tell(db, other_tenant, other, "a.b")
        await untouched.until_seq(1)
    assert watcher.named("end")[0].json == {"reason": "disabled"}


async def test_a_removed_member_loses_his_streams(
    gateway: StreamGateway, admin: asyncpg.Connection, tenant: Tenant, visit: UUID
) -> None:
    """Within a second of the membership's end the stream says `revoked` and closes."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        async with asyncio.timeout(WITHIN_SECONDS):
            await admin.execute("DELETE FROM memberships WHERE user_id = $1", tenant.user_id)
            await watcher.until_closed()
    assert watcher.named("end")[0].json == {"reason": "revoked"}


NOT_A_MEMBER = (403, "You are not a member of this tenant, or not any more; ask its owner.")


@pytest.mark.parametrize("beside_another", [False, True])
async def test_a_removed_members_token_opens_nothing_more(
    gateway: StreamGateway, admin: asyncpg.Connection, tenant: Tenant, visit: UUID, beside_another: bool
) -> None:
    """Resumed, afresh, by a ticket taken before, or polled: 403, also where a colleague's stream needs no query."""
    colleague, ticket = uuid4(), (await ask_for_ticket(gateway, tenant, visit)).json()
    await admin.execute("INSERT INTO memberships VALUES ($1, $2)", tenant.id, colleague)
    headers = {"authorization": f"Bearer {tenant.token(sub=str(colleague))}"}
    async with AsyncExitStack() as opened:
        if beside_another:
            other = await opened.enter_async_context(watch(gateway.url, path(visit), headers=headers))
            await other.until(is_open)
        async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
            await watcher.until(is_open)
            await admin.execute("DELETE FROM memberships WHERE user_id = $1", tenant.user_id)
            await watcher.until_closed()
        many, page = f"/v1/progress?visit_id={visit}", f"/v1/visits/{visit}/events"
        for address in (path(visit), f"{path(visit)}?last_event_id=0", ticket["url"], many, page):
            answer = await get(gateway, address, {} if "ticket" in address else tenant.headers)
            assert (answer.status_code, answer.json()["detail"]) == NOT_A_MEMBER, address
        assert (await ask_for_ticket(gateway, tenant, visit)).status_code == 403
        assert gateway.hub.stats()["streams"] == beside_another


async def test_a_member_who_is_taken_back_has_streams_again(
    gateway: StreamGateway, admin: asyncpg.Connection, tenant: Tenant, visit: UUID
) -> None:
    """At once: what was known of the tenant's members is no reason to refuse."""
    await admin.execute("DELETE FROM memberships WHERE user_id = $1", tenant.user_id)
    assert (await get(gateway, path(visit), tenant.headers)).status_code == 403
    await admin.execute("INSERT INTO memberships VALUES ($1, $2)", tenant.id, tenant.user_id)
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)


async def test_who_may_not_watch_is_not_told_to_come_back(settings: Settings, tenant: Tenant, visit: UUID) -> None:
    """Over the limit a member hears `busy`; a stranger is refused for good, on one visit or on many."""
    stranger = {"authorization": f"Bearer {tenant.token(sub=str(uuid4()))}"}
    async with open_gateway(settings, limits=Limits(per_user=0)) as gateway:
        for address in (path(visit), f"/v1/progress?visit_id={visit}"):
            assert (await get(gateway, address, stranger)).status_code == 403
            assert (await get(gateway, address, tenant.headers)).status_code == 200


@pytest.mark.parametrize("address", ["/v1/visits/{}/progress", "/v1/progress?visit_id={}"])
async def test_a_token_that_has_just_expired_opens_no_stream(
    gateway: StreamGateway, tenant: Tenant, visit: UUID, address: str
) -> None:
    """A single request has five seconds of leeway; a stream, which ends with its token, has none."""
    late = {"authorization": f"Bearer {tenant.token(seconds=-1)}"}
    answer = await get(gateway, address.format(visit), late)
    assert (answer.status_code, "expired" in answer.json()["detail"]) == (401, True)
    assert (await get(gateway, f"/v1/visits/{visit}/events", late)).status_code == 200
    assert gateway.hub.stats()["streams"] == 0


async def test_polling_gives_the_same_events_page_by_page(
    gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID
) -> None:
    """What is polled is what is streamed; `has_more` says when to ask again at once."""
    await tell(db, tenant, visit, *["a.b"] * 5)
    pages = [
        (await get(gateway, f"/v1/visits/{visit}/events?{query}", tenant.headers)).json()
        for query in ("limit=3", "after=3&limit=3", "after=5", "")
    ]
    assert [[event["seq"] for event in page["events"]] for page in pages] == [[1, 2, 3], [4, 5], [], [1, 2, 3, 4, 5]]
    assert [(page["last_seq"], page["has_more"]) for page in pages] == [(5, True), (5, False), (5, False), (5, False)]
    async with watch(gateway.url, path(visit), headers=tenant.headers, last_id=0) as watcher:
        await watcher.until_seq(5)
    assert [event.json for event in watcher.events] == pages[3]["events"]


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=501"])
async def test_a_malformed_page_is_400(gateway: StreamGateway, tenant: Tenant, visit: UUID, query: str) -> None:
    """Bounds are bounds."""
    assert (await get(gateway, f"/v1/visits/{visit}/events?{query}", tenant.headers)).status_code == 400


@pytest.mark.parametrize("heartbeat_s", [0.1, 0.4, 5.0, 15.0, 30.0])
def test_a_heartbeat_is_never_late(heartbeat_s: float) -> None:
    """A round of the wheel is a little shorter than the interval: a proxy that cuts at 30 s sees one before."""
    slots, tick_s = _rounds(heartbeat_s)
    assert 0.9 * heartbeat_s <= slots * tick_s <= 0.99 * heartbeat_s
    assert tick_s <= 0.6


@pytest.mark.parametrize("by_ticket", [False, True])
async def test_the_end_of_a_session_ends_its_streams(
    gateway: StreamGateway, admin: asyncpg.Connection, tenant: Tenant, visit: UUID, by_ticket: bool
) -> None:
    """`revoked` within a second, for a stream that a ticket of the session opened too; another session's goes on."""
    cookie = {"cookie": f"scopekit_session={tenant.session}"}
    address, headers = path(visit), cookie
    if by_ticket:
        async with httpx.AsyncClient(base_url=gateway.url) as client:
            own = {**cookie, "origin": gateway.url}
            address, headers = (await client.post(f"{path(visit)}/ticket", headers=own)).json()["url"], {}
    other = await open_session(admin, tenant.user_id, tenant.id)
    async with (
        watch(gateway.url, address, headers=headers) as mine,
        watch(gateway.url, path(visit), headers={"cookie": f"scopekit_session={other}"}) as others,
    ):
        await mine.until(is_open)
        await others.until(is_open)
        held = credentials.parse(tenant.session)
        assert held is not None
        await admin.execute("DELETE FROM sessions WHERE id = $1", held.id)
        async with asyncio.timeout(WITHIN_SECONDS):
            await mine.until_closed()
        assert mine.named("end")[-1].json["reason"] == "revoked"
        assert not others.closed.is_set()
    assert (await get(gateway, path(visit), cookie)).status_code == 401


async def test_a_ticket_dies_with_its_session(
    gateway: StreamGateway, admin: asyncpg.Connection, tenant: Tenant, visit: UUID
) -> None:
    """Signed out between the asking and the opening, there is no stream."""
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        own = {"cookie": f"scopekit_session={tenant.session}", "origin": gateway.url}
        address = (await client.post(f"{path(visit)}/ticket", headers=own)).json()["url"]
    await admin.execute("DELETE FROM sessions WHERE user_id = $1", tenant.user_id)
    assert (await get(gateway, address)).status_code == 401


async def test_a_session_that_ended_unheard_ends_its_streams_when_the_listener_is_back(
    gateway: StreamGateway, admin: asyncpg.Connection, tenant: Tenant, visit: UUID
) -> None:
    """The table is asked which sessions live, as it is asked who the members are."""
    async with watch(gateway.url, path(visit), headers={"cookie": f"scopekit_session={tenant.session}"}) as watcher:
        await watcher.until(is_open)
        await admin.execute("ALTER TABLE sessions DISABLE TRIGGER tell_session")
        try:
            await admin.execute("DELETE FROM sessions WHERE user_id = $1", tenant.user_id)
        finally:
            await admin.execute("ALTER TABLE sessions ENABLE TRIGGER tell_session")
        gateway.hub._feed.check_table()
        await watcher.until_closed()

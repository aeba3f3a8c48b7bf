"""What `/metrics` tells, and whom."""

import asyncio
from uuid import UUID

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from config.settings import Settings
from realtime.histogram import Histogram
from realtime.protocol.events import Event
from realtime.streams.stream_limits import Limits
from store.pool import Database
from tests.realtime.feed.test_faults import Connection, listening, terminate_listener
from tests.realtime.feed.watcher import eventually, is_open, path, watch
from tests.realtime.stream_gateway import StreamGateway, make_visit, open_gateway, tell
from tests.stack import QUEUE_KEY
from tests.tenants import Tenant


async def numbers(gateway: StreamGateway) -> dict[str, float]:
    """Read the metrics as Prometheus does: sample name, and labels where it has any, to value."""
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        answer = await client.get("/metrics", headers={"x-internal-key": QUEUE_KEY})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        sample.name.removeprefix("scopekit_") + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_what_streams_do_is_counted(
    gateway: StreamGateway, db: Database, admin: Connection, tenant: Tenant, visit: UUID
) -> None:
    """Streams, events, bytes, latency, replays, and a listener that came back, each as it happened."""
    await tell(db, tenant, visit, "a.b", "a.b", "a.b")
    async with (
        watch(gateway.url, path(visit), headers=tenant.headers) as one,
        watch(gateway.url, path(visit), headers=tenant.headers, last_id=1) as two,
    ):
        await one.until(is_open)
        await two.until_seq(3)
        await eventually(lambda: gateway.hub.stats()["replays"] == 1)
        for seq in (4, 5):  # one at a time: what comes in one turn of the loop is one delivery
            await tell(db, tenant, visit, "a.b")
            await one.until_seq(seq)
            await two.until_seq(seq)
        await terminate_listener(admin)
        await eventually(lambda: gateway.hub.stats()["reconnects"] == 1)
        await listening(gateway)
        told = await numbers(gateway)
    wanted = {"streams_open": 2, "streams_opened_total": 2, "visits_watched": 1, "events_received_total": 2}
    wanted |= {"stream_deliveries_total": 4, "stream_replays_total": 1, "events_replayed_total": 2}
    wanted |= {"listener_reconnects_total": 1, "listener_live": 1, "draining": 0, "streams_slow_closed_total": 0}
    wanted |= {"streams_vanished_total": 0, "events_superseded_total": 0}
    wanted |= {"event_latency_seconds_count": 2, "event_latency_seconds_bucket+Inf": 2}
    assert {name: told[name] for name in wanted} == wanted
    assert "bus_leader" not in told
    sizes = [len(f"id: {m.id}\ndata: {m.data}\n\n") for watcher in (one, two) for m in watcher.events]
    assert told["stream_bytes_total"] == sum(sizes)
    assert told["events_buffered_bytes"] == sum(len(m.data.encode()) for m in two.events)
    assert 0 <= told["notify_queue_usage_ratio"] < 1
    assert told["loop_lag_seconds_count"] >= 0


@pytest.mark.parametrize("bus", ["redis"])
async def test_the_leader_of_the_bus_says_so(gateway: StreamGateway, db: Database, tenant: Tenant, visit: UUID) -> None:
    """Which process it is, and how much it has carried; without a bus there is no such number."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        await tell(db, tenant, visit, "a.b", "a.b")
        await watcher.until_seq(2)
    await eventually(lambda: gateway.hub.stats()["leads"])
    told = await numbers(gateway)
    assert (told["bus_leader"], told["listener_live"], told["bus_events_published_total"] >= 2) == (1, 1, True)


async def test_refusals_are_counted_by_their_limit(settings: Settings, db: Database, tenant: Tenant) -> None:
    """A tenant's limit and a drain are told apart."""
    visit = await make_visit(db, tenant)
    async with (
        open_gateway(settings, limits=Limits(per_tenant=1)) as gateway,
        watch(gateway.url, path(visit), headers=tenant.headers) as first,
    ):
        await first.until(is_open)
        for draining in (False, True, True):
            gateway.hub.admission.draining = draining
            async with watch(gateway.url, path(visit), headers=tenant.headers) as refused:
                await refused.until_closed()
        told = await numbers(gateway)
    reasons = ("user", "tenant", "process", "draining")
    assert [told[f"streams_refused_total{reason}"] for reason in reasons] == [0, 1, 0, 2]


async def test_the_queue_is_told_by_state_and_asked_once_a_second(
    gateway: StreamGateway, admin: Connection, tenant: Tenant, visit: UUID
) -> None:
    """Depth and oldest age of waiting jobs; a second scrape within the second sees the same."""
    before = (await numbers(gateway))["jobsqueued"]
    await admin.execute(
        "INSERT INTO ai_jobs (tenant_id, visit_id, job_type, created_at) "
        "VALUES ($1, $2, 'estimate', now() - interval '1 hour')",
        tenant.id,
        visit,
    )
    try:
        told = await numbers(gateway)
        async with asyncio.timeout(10):
            while told["jobsqueued"] == before:
                told = await numbers(gateway)
        assert (told["jobsqueued"], told["jobs_oldest_secondsqueued"] >= 3600) == (before + 1, True)
        assert {"jobsrunning", "jobsdead", "jobs_oldest_secondsdead"} <= set(told)
    finally:
        await admin.execute("DELETE FROM ai_jobs WHERE tenant_id = $1", tenant.id)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"x-forwarded-for": "127.0.0.1"}, 401),
        ({"authorization": f"Bearer {QUEUE_KEY}"}, 200),
        ({"x-internal-key": QUEUE_KEY}, 200),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": f"Basic {QUEUE_KEY}"}, 401),
    ],
)
async def test_only_the_key_reads_the_numbers(gateway: StreamGateway, headers: dict[str, str], status: int) -> None:
    """Away from a developer's machine an address proves nothing: a proxy's visitors all come from loopback."""
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get("/metrics", headers=headers)).status_code == status


def test_a_histogram_counts_up_to_each_bound() -> None:
    """A value on a bound is within it; what is beyond all is only in +Inf."""
    histogram = Histogram((0.001, 0.01))
    for seconds in (0.0, 0.001, 0.005, 3.0):
        histogram.observe(seconds)
    assert histogram.buckets() == [("0.001", 2), ("0.01", 3), ("+Inf", 4)]
    assert histogram.total == pytest.approx(3.006)


def test_an_event_knows_when_it_was_written() -> None:
    """The time stands at the end of each document; one without it counts as just written."""
    document = b'{"seq":1,"payload":{},"created_at":"2026-01-01T00:00:01.500000Z"}'
    assert Event("v", 1, "a.b", None, document).created_at == 1767225601.5
    assert Event("v", 1, "a.b", None, b"{}").created_at > 1767225601.5

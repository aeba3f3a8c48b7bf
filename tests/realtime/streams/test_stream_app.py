"""The streams' application beside the framework: one head and one way of opening, whatever carries the stream."""

from uuid import UUID, uuid4

import httpx
import pytest

from config.settings import Settings
from gateway.http.deprecation import headers_at
from realtime.transport.connection import ConnectionSink
from tests.realtime.feed.watcher import eventually, is_open, path, watch
from tests.realtime.stream_gateway import StreamGateway, open_gateway
from tests.stack import QUEUE_KEY
from tests.tenants import Tenant

OWN = {"date", "server", "x-correlation-id", "connection"}


async def head(url: str, address: str, headers: dict[str, str]) -> tuple[int, list[tuple[str, str]]]:
    """Ask for a stream, and return the status and head of the answer but for what each has of its own."""
    async with watch(url, address, headers=headers) as watcher:
        response = watcher.response
        return response.status_code, sorted(line for line in response.headers.multi_items() if line[0] not in OWN)


OURS = "https://app.example.test"
PLAIN = [
    ("cache-control", "no-cache, no-transform"),
    ("content-type", "text/event-stream"),
    ("transfer-encoding", "chunked"),
    ("vary", "Origin"),
    ("x-accel-buffering", "no"),
    ("x-content-type-options", "nosniff"),
]
READABLE = [
    ("access-control-allow-credentials", "true"),
    ("access-control-allow-origin", OURS),
    ("access-control-expose-headers", "x-correlation-id"),
]
ADDRESSES = {
    "a visit": "/v1/visits/{visit}/progress",
    "the runbook's": "/functions/v1/sse-progress?visit_id={visit}",
    "several visits": "/v1/progress?visit_id={visit}",
    "all visits": "/v1/tenant/progress",
}


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        ({}, PLAIN),
        ({"origin": OURS}, READABLE + PLAIN),
        ({"origin": "https://elsewhere.example.test"}, PLAIN),
        ({"connection": "close"}, PLAIN),
    ],
    ids=["plain", "ours", "elsewhere", "closing"],
)
@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
@pytest.mark.parametrize("writer", ["connection", "asgi"])
async def test_every_stream_has_this_head(
    settings: Settings,
    tenant: Tenant,
    visit: UUID,
    writer: str,
    address: str,
    more: dict[str, str],
    lines: list[tuple[str, str]],
) -> None:
    """Whatever carries it and whatever it is a stream of; the origin alone makes a difference."""
    async with open_gateway(settings, writer=writer) as gateway:
        given = await head(gateway.url, address.format(visit=visit), tenant.headers | more)
    of_address = [(name.decode(), value.decode()) for name, value in headers_at(address.partition("?")[0])]
    assert given == (200, sorted(lines + of_address))


async def test_a_stream_has_the_callers_own_id(gateway: StreamGateway, tenant: Tenant, visit: UUID) -> None:
    """Once, and it says that the connection ends with it."""
    async with watch(gateway.url, path(visit), headers=tenant.headers | {"x-correlation-id": "mine-1"}) as watcher:
        assert watcher.response.headers.get_list("x-correlation-id") == ["mine-1"]
        assert watcher.response.headers.get_list("connection") == ["close"]
        await watcher.until(is_open)


@pytest.mark.parametrize("case", ["stranger", "unknown visit", "bad id", "foreign position"])
async def test_what_is_no_stream_has_the_head_of_every_answer(
    settings: Settings, gateway: StreamGateway, tenant: Tenant, visit: UUID, case: str
) -> None:
    """A refusal reads the same over every server, as a problem with policies, and leaves nothing behind."""
    address, asked = path(visit), tenant.headers | {"origin": "https://app.example.test"}
    match case:
        case "stranger":
            asked = {"origin": asked["origin"]}
        case "unknown visit":
            address = path(uuid4())
        case "bad id":
            address = "/v1/visits/" + "x" * 36 + "/progress"
        case _:
            asked |= {"last-event-id": "no-number"}
    async with open_gateway(settings, writer="asgi") as plain:
        given = await head(plain.url, address, asked)
    status, lines = await head(gateway.url, address, asked)
    assert (status, lines) == given
    assert ("content-type", "application/problem+json") in lines
    assert ("x-frame-options", "DENY") in lines
    assert ("access-control-allow-origin", "https://app.example.test") in lines
    assert (gateway.hub.stats()["streams"], gateway.hub.channels) == (0, {})


async def test_another_method_is_the_frameworks_to_refuse(gateway: StreamGateway, tenant: Tenant, visit: UUID) -> None:
    """The framework knows the streams' addresses, and which methods they have."""
    async with httpx.AsyncClient(base_url=gateway.url, headers=tenant.headers) as client:
        answer = await client.delete(path(visit))
        nowhere = await client.get("/v1/visits/" + "x" * 17 + "/" + "x" * 18 + "/progress")
    assert (answer.status_code, answer.headers["allow"], nowhere.status_code) == (405, "GET, HEAD", 404)


async def test_a_stream_is_noted_like_any_request(gateway: StreamGateway, tenant: Tenant, visit: UUID) -> None:
    """It is counted under its route with its status, once it has been handed over."""
    async with watch(gateway.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        await eventually(lambda: [type(stream._sink) for stream in gateway.hub._wheel.all()] == [ConnectionSink])
        await eventually(lambda: not gateway.server.server_state.tasks)
        async with httpx.AsyncClient(base_url=gateway.url) as client:
            numbers = (await client.get("/metrics", headers={"authorization": f"Bearer {QUEUE_KEY}"})).text
    counted = 'scopekit_http_requests_total{method="GET",route="/v1/visits/{visit_id}/progress",status="200"}'
    assert [line for line in numbers.splitlines() if line.startswith(counted)] == [f"{counted} 1.0"]

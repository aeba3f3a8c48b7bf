"""A stream that begins before the framework: it must not be told from one that came through it."""

from uuid import UUID, uuid4

import httpx
import pytest

from config.settings import Settings
from gateway.progress.fast_path import MOST_HEADS, StreamFastPath
from realtime.transport.connection import ConnectionSink
from tests.realtime.feed.watcher import eventually, is_open, path, watch
from tests.realtime.house import House, open_house
from tests.stack import QUEUE_KEY
from tests.tenants import Tenant

OWN = {"date", "x-correlation-id", "connection"}


async def head(url: str, address: str, headers: dict[str, str]) -> tuple[int, list[tuple[str, str]]]:
    """Ask for a stream, and return the status and head of the answer but for what each has of its own."""
    async with watch(url, address, headers=headers) as watcher:
        response = watcher.response
        return response.status_code, sorted(line for line in response.headers.multi_items() if line[0] not in OWN)


@pytest.mark.parametrize(
    "more",
    [{}, {"origin": "https://app.example.test"}, {"origin": "https://elsewhere.example.test"}, {"connection": "close"}],
    ids=["plain", "ours", "elsewhere", "closing"],
)
async def test_a_stream_has_the_head_that_the_framework_gives(
    settings: Settings, house: House, tenant: Tenant, visit: UUID, more: dict[str, str]
) -> None:
    """The first of its kind and every later one, for whatever origin: CORS, policies, and the caller's own id."""
    asked = tenant.headers | more | {"x-correlation-id": "mine-1"}
    async with open_house(settings, writer="asgi") as plain:
        given = await head(plain.url, path(visit), asked)
    assert [await head(house.url, path(visit), asked) for _ in range(2)] == [given, given]
    async with watch(house.url, path(visit), headers=asked) as watcher:
        assert watcher.response.headers.get_list("x-correlation-id") == ["mine-1"]
        assert watcher.response.headers.get_list("connection") == ["close"]  # it ends with the stream
        await watcher.until(is_open)


@pytest.mark.parametrize("case", ["stranger", "unknown visit", "bad id", "foreign position"])
async def test_what_is_no_stream_is_the_frameworks_to_answer(
    settings: Settings, house: House, tenant: Tenant, visit: UUID, case: str
) -> None:
    """A refusal reads the same, and leaves nothing behind."""
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
    async with open_house(settings, writer="asgi") as plain:
        given = await head(plain.url, address, asked)
    status, lines = await head(house.url, address, asked)
    assert (status, lines) == given
    assert ("content-type", "application/problem+json") in lines
    assert ("access-control-allow-origin", "https://app.example.test") in lines
    assert (house.hub.stats()["streams"], house.hub.channels) == (0, {})


async def test_an_address_that_is_none_leaves_no_head_for_streams(house: House, tenant: Tenant, visit: UUID) -> None:
    """What is only as long as a visit's address is not found, and streams begin after it as before it."""
    async with httpx.AsyncClient(base_url=house.url) as client:
        nowhere = await client.get("/v1/visits/" + "x" * 17 + "/" + "x" * 18 + "/progress")
    status, lines = await head(house.url, path(visit), tenant.headers)
    assert (nowhere.status_code, status) == (404, 200)
    assert dict(lines)["content-type"].startswith("text/event-stream")
    assert "content-length" not in dict(lines)


async def test_a_stream_is_noted_like_any_request(house: House, tenant: Tenant, visit: UUID) -> None:
    """It is counted under its route with its status, once it has been handed over."""
    async with watch(house.url, path(visit), headers=tenant.headers) as watcher:
        await watcher.until(is_open)
        await eventually(lambda: [type(stream._sink) for stream in house.hub._wheel.all()] == [ConnectionSink])
        await eventually(lambda: not house.server.server_state.tasks)
        async with httpx.AsyncClient(base_url=house.url) as client:
            numbers = (await client.get("/metrics", headers={"authorization": f"Bearer {QUEUE_KEY}"})).text
    counted = 'scopekit_http_requests_total{method="GET",route="/v1/visits/{visit_id}/progress",status="200"}'
    assert [line for line in numbers.splitlines() if line.startswith(counted)] == [f"{counted} 1.0"]


async def test_made_up_origins_fill_no_memory(house: House, tenant: Tenant, visit: UUID) -> None:
    """The heads that are kept are bounded, whatever clients send."""
    door = fast_path_of(house)
    door._heads.update((b"%d" % number, b"") for number in range(MOST_HEADS))
    await head(house.url, path(visit), tenant.headers | {"origin": "https://new.example.test"})
    assert list(door._heads) == [b"https://new.example.test"]


def fast_path_of(house: House) -> StreamFastPath:
    """Return the door among the middleware of a running gateway."""
    layer = house.server.config.loaded_app
    while not isinstance(layer, StreamFastPath):
        layer = next(
            getattr(layer, name)
            for name in ("middleware_stack", "_app", "app")
            if getattr(layer, name, None) is not None
        )
    return layer

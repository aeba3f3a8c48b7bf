"""Bodies as JSON: what is too deep, what stops coming, and prices that are a strange sort of zero."""

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request

from gateway.http import body
from gateway.http.body import JSON_DEPTH, read_json
from gateway.http.input.number_fields import Price
from store.errors import InvalidInput, Stalled
from tests.tenants import Tenant

if TYPE_CHECKING:
    from starlette.types import Message


class Anything(BaseModel):
    """A body with one field of any form."""

    value: Any = None


def _request(*messages: "Message") -> Request:
    waiting = list(messages)

    async def receive() -> "Message":
        return waiting.pop(0) if waiting else await asyncio.Event().wait()  # type: ignore[return-value]

    return Request({"type": "http", "method": "POST", "path": "/", "headers": []}, receive)


def _nested(levels: int) -> bytes:
    return b'{"value":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def _whole(text: bytes) -> "Message":
    return {"type": "http.request", "body": text, "more_body": False}


@pytest.mark.parametrize("levels", [JSON_DEPTH + 1, 260, 600, 1000, 5000])
async def test_a_body_nested_too_deeply_is_refused(levels: int) -> None:
    """Past what we store, past what the encoder takes and past Python's own stack: always the caller's mistake."""
    assert (await read_json(_request(_whole(_nested(JSON_DEPTH))), Anything)).value is not None
    with pytest.raises(InvalidInput):
        await read_json(_request(_whole(_nested(levels))), Anything)


async def test_a_deep_body_is_400_on_the_wire(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """Also where any payload is welcome."""
    visit = (await client.post("/v1/visits", json={}, headers=tenant.headers)).json()["id"]
    deep = b'{"event": "upload_failed", "payload": ' + _nested(300) + b"}"
    headers = tenant.headers | {"content-type": "application/json"}
    answer = await client.post(f"/v1/visits/{visit}/sync-events", content=deep, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


HOSTILE = {
    "a number past a double": b'{"event": "a", "payload": {"x": 1e400}}',
    "not a number": b'{"event": "a", "payload": {"x": NaN}}',
    "half a surrogate pair": b'{"event": "a", "payload": {"x": "\\ud800"}}',
    "bytes that are no UTF-8": b'{"event": "a", "payload": {"x": "\xff"}}',
    "a NUL": b'{"event": "a", "payload": {"x": "\\u0000"}}',
    "a NUL in a name": b'{"event": "a", "payload": {"\\u0000": 1}}',
    "a list": b"[1]",
    "nothing but null": b"null",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
async def test_what_cannot_be_stored_is_400_on_the_wire(
    client: httpx.AsyncClient, tenant: Tenant, hostile: bytes
) -> None:
    """Told before the database stumbles over it."""
    visit = (await client.post("/v1/visits", json={}, headers=tenant.headers)).json()["id"]
    headers = tenant.headers | {"content-type": "application/json"}
    answer = await client.post(f"/v1/visits/{visit}/sync-events", content=hostile, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


STRANGE = (
    *("/static/%00", "/static/%ff%fe", f"/static/{'a' * 300}", "/static/..%2f..%2fapp.py"),
    *("/v1/visits/%00", "/v1/visits/%ff", "/v1/visits?limit=%00", "/v1/visits?limit=1e9", "/v1/visits?limit=%ff"),
    *("/v1/progress?visit_id=%00", "/functions/v1/sse-progress?visit_id=%ff", "/v1/estimates/%00/changes?since=%00"),
    *(f"/v1/media/{uuid4()}/content?size=%00", f"/v1/visits/{uuid4()}/events?after={'9' * 40}", "/nowhere/%00"),
    f"/v1/visits/{uuid4()}/progress?ticket=%00%ff",
)


@pytest.mark.parametrize("address", STRANGE, ids=range(len(STRANGE)))
async def test_a_strange_address_is_the_callers_mistake(
    client: httpx.AsyncClient, tenant: Tenant, address: str
) -> None:
    """NUL, bytes that are no UTF-8 and numbers past all bounds, in path and query: a problem, and never ours."""
    answer = await client.get(address, headers=tenant.headers)
    assert answer.status_code in (400, 401, 404)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_strange_query_finds_nothing(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """Words with NUL and broken UTF-8 are words like others."""
    answer = await client.get("/v1/price-items?q=%00outlet%ff&unit=%00", headers=tenant.headers)
    assert answer.status_code == 200


async def test_a_body_that_stops_is_timed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request waits for ever for the rest of a few bytes."""
    monkeypatch.setattr(body, "STALL_SECONDS", 0.05)
    begun: Message = {"type": "http.request", "body": b"{", "more_body": True}
    async with asyncio.timeout(10):
        with pytest.raises(Stalled):
            await read_json(_request(begun), Anything)


async def test_a_body_that_only_drips_is_timed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then is no body, however long it goes on; a slow one that brings enough is."""
    monkeypatch.setattr(body, "PACE_SECONDS", 0.0)
    monkeypatch.setattr(body, "PACE_BYTES", 4)
    drip: Message = {"type": "http.request", "body": b" ", "more_body": True}
    with pytest.raises(Stalled):
        await read_json(_request(drip, drip, _whole(b"{}")), Anything)
    slow: list[Message] = [{"type": "http.request", "body": b"    ", "more_body": True} for _ in range(3)]
    assert (await read_json(_request(*slow, _whole(b"  {}")), Anything)).value is None


async def test_a_sender_that_vanishes_is_no_fault_of_ours() -> None:
    """Its end is a `Stalled` like any other, not an unhandled error in the log."""
    begun: Message = {"type": "http.request", "body": b"{", "more_body": True}
    with pytest.raises(Stalled):
        await read_json(_request(begun, {"type": "http.disconnect"}), Anything)


@pytest.mark.parametrize("zero", ["0", "0.00", "$0", 0, 0.0, -0.0])
def test_every_zero_is_the_same_price(zero: object) -> None:
    """One that PostgreSQL or a content hash would take otherwise becomes 0.00."""
    assert str(TypeAdapter(Price).validate_python(zero)) == "0.00"


@pytest.mark.parametrize(
    "bad", ["NaN", "Infinity", "-0.01", "1.005", "10000000000", "1e999999999", "0e-2", "-0", 1e300, True]
)
def test_what_is_no_price_is_refused(bad: object) -> None:
    """Neither endless, negative, finer than cents, past ten digits nor with an exponent."""
    with pytest.raises(ValidationError):
        TypeAdapter(Price).validate_python(bad)

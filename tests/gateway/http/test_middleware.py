"""What holds for every route: problems, correlation ids, CORS, security headers."""

import json
import re

import asyncpg
import httpx
import pytest
import structlog
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.app import middleware
from gateway.http.errors import HANDLERS
from gateway.http.http_metrics import HttpMetrics
from store import errors
from tests.stack import Services
from tests.tenants import Tenant


async def test_an_unknown_address_is_a_problem(client: httpx.AsyncClient) -> None:
    """404 and 405 are problem+json with a correlation id, in the body as in the header."""
    for method, path, status in (("GET", "/nowhere", 404), ("DELETE", "/v1/me", 405)):
        answer = await client.request(method, path)
        problem = answer.json()
        assert (answer.status_code, problem["status"]) == (status, status)
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["correlation_id"] == answer.headers["x-correlation-id"]
        assert {"type", "title", "detail"} <= set(problem)


async def test_a_refused_method_is_told_all_that_are_allowed(client: httpx.AsyncClient) -> None:
    """Also where several routes share an address."""
    answer = await client.delete("/v1/visits")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize("given", ["from-the-phone-1", "0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90"])
async def test_the_callers_correlation_id_is_kept(client: httpx.AsyncClient, given: str) -> None:
    """The phone's id comes back."""
    answer = await client.get("/livez", headers={"x-correlation-id": given})
    assert answer.headers["x-correlation-id"] == given


@pytest.mark.parametrize("given", ["", "with space", "line\tbreak", "x" * 129, 'quo"te'])
async def test_an_unfit_correlation_id_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    """What could forge a log line is not taken over."""
    answer = await client.get("/livez", headers={"x-correlation-id": given})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-correlation-id"])


async def test_every_error_class_has_its_status(services: Services) -> None:
    """The tree in store/errors.py is answered whole, and a crash is a plain 500 without a trace."""
    expected = {
        errors.InvalidInput: 400,
        errors.Unprocessable: 422,
        errors.NotFound: 404,
        errors.Forbidden: 403,
        errors.Conflict: 409,
        errors.Gone: 410,
        errors.TooLarge: 413,
        errors.UnsupportedType: 415,
        errors.Stalled: 408,
        ZeroDivisionError: 500,
    }
    for kind, status in expected.items():
        answer = await _raise(services, kind("hush"))
        assert answer.status_code == status, kind
        assert answer.headers["access-control-allow-origin"] == "https://app.example.test"
        assert ("hush" in answer.text) is (status != 500)
    late = await _raise(services, errors.TooMany("slow down", retry_after=7.2))
    assert (late.status_code, late.headers["retry-after"]) == (429, "7")
    away = await _raise(services, errors.Unavailable("away"))
    assert (away.status_code, away.headers["retry-after"]) == (503, "2")
    hung = await _raise(services, TimeoutError("hush"))  # a command's deadline in asyncpg
    assert (hung.status_code, hung.headers["retry-after"], "hush" in hung.text) == (503, "2", False)
    full = await _raise(services, asyncpg.DiskFullError("hush"))
    assert (full.status_code, full.headers["retry-after"]) == (503, "30")
    assert full.json()["detail"] == "The database's disk is full. Nothing was changed. Try again later."
    extra = await _raise(services, errors.Conflict("busy", job_id="j-1"))
    assert extra.json()["job_id"] == "j-1"


async def _raise(services: Services, error: Exception) -> httpx.Response:
    async def route(_request: Request) -> Response:
        raise error

    app = Starlette(
        routes=[Route("/", route)],
        middleware=middleware(services.settings(), HttpMetrics(CollectorRegistry())),
        exception_handlers=HANDLERS,
    )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as caller:
        return await caller.get("/", headers={"origin": "https://app.example.test"})


async def test_a_listed_origin_may_call(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """The preflight echoes the origin, the runbook's headers and a day's age; never `*`."""
    wanted = "authorization, x-client-info, apikey, content-type, x-sequence, x-duration-ms, last-event-id"
    preflight = {
        "origin": "https://app.example.test",
        "access-control-request-method": "POST",
        "access-control-request-headers": wanted,
    }
    answer = await client.options("/v1/visits", headers=preflight)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example.test"
    assert answer.headers["access-control-max-age"] == "86400"
    assert set(wanted.split(", ")) <= set(answer.headers["access-control-allow-headers"].lower().split(", "))
    assert {"POST", "GET", "OPTIONS"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    real = await client.get("/v1/me", headers={**tenant.headers, "origin": "https://share.example.test"})
    assert real.headers["access-control-allow-origin"] == "https://share.example.test"
    assert "Origin" in real.headers["vary"]


async def test_an_unlisted_origin_gets_nothing(client: httpx.AsyncClient) -> None:
    """No Access-Control-Allow-Origin at all, and `Vary: Origin` so that no cache mixes the two."""
    answer = await client.get("/livez", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert "Origin" in answer.headers["vary"]


async def test_browsers_are_told_what_to_refuse(client: httpx.AsyncClient) -> None:
    """No framing, no sniffing, no inline script, no stranger's host."""
    headers = (await client.get("/livez")).headers
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    policy = headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_the_log_names_the_route_and_never_the_path(client: httpx.AsyncClient) -> None:
    """A share's token in the path stays out of the log."""
    token = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789abcdefg"
    with structlog.testing.capture_logs() as logged:
        await client.get(f"/e/{token}", headers={"referer": f"http://gateway.test/e/{token}"})
    assert [line["route"] for line in logged if line["event"] == "Request"] == ["/e/{token}"]
    assert token not in json.dumps(logged, default=str)

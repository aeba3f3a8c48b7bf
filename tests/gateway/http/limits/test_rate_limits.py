"""One shape of 429: Retry-After, the draft's RateLimit fields, and the same seconds in the document."""

import json

import httpx
import pytest
from starlette.requests import Request

from gateway.http.errors import on_spine_error
from gateway.http.limits.cost_limits import PRICE_FILES
from store.errors import TooMany
from tests.tenants import Tenant


async def _answer(error: TooMany) -> tuple[dict[str, str], dict[str, object]]:
    response = await on_spine_error(Request({"type": "http"}), error)
    assert response.status_code == 429
    return dict(response.headers), json.loads(bytes(response.body))


async def test_a_limit_of_rate_names_itself() -> None:
    """Its quota and window are told, with when there will be more."""
    headers, body = await _answer(TooMany("Wait.", retry_after=12.2, policy=PRICE_FILES.policy))
    assert (headers["retry-after"], body["retry_after"]) == ("12", 12)
    assert headers["ratelimit"] == '"price-book-files";r=0;t=12'
    assert headers["ratelimit-policy"] == '"price-book-files";q=20;w=200'


async def test_any_other_limit_has_the_same_shape() -> None:
    """Without a quota to tell."""
    headers, body = await _answer(TooMany("Wait.", retry_after=0.1))
    assert (headers["retry-after"], body["retry_after"], body["code"]) == ("1", 1, "rate_limited")
    assert headers["ratelimit"] == '"default";r=0;t=1'
    assert "ratelimit-policy" not in headers


async def test_an_answer_that_a_limit_counts_says_what_is_left(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """One less each time; what no limit counts says nothing."""
    left = []
    for _ in range(2):
        answer = await client.get("/v1/price-items/export", headers=tenant.headers)
        assert answer.headers["ratelimit-policy"] == '"price-book-files";q=20;w=200'
        left.append(answer.headers["ratelimit"])
    assert left[0] == '"price-book-files";r=19;t=10'
    assert left[1].startswith('"price-book-files";r=18;t=')
    visit = await client.post("/v1/visits", json={}, headers=tenant.headers)
    assert "ratelimit" not in visit.headers
    wish = {"content_type": "image/jpeg", "file_size": 10}
    path = f"{visit.headers['location']}/media/presign"
    form = await client.post(path, json=wish, headers=tenant.headers)
    assert (form.status_code, form.headers["ratelimit"]) == (201, '"uploads";r=299;t=1')


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        ("/v1/visits/{visit}/estimate", "priority", False),
        ("/v1/visits/{visit}/estimate", "priority", "0"),
        ("/v1/visits/{visit}/media/presign", "file_size", True),
        ("/v1/price-items", "unit_price", ""),
    ],
)
async def test_a_number_is_a_number(
    client: httpx.AsyncClient, tenant: Tenant, path: str, field: str, value: object
) -> None:
    """`false` is not 0, and an empty text is no price."""
    visit = (await client.post("/v1/visits", json={"notes": "x"}, headers=tenant.headers)).json()["id"]
    answer = await client.post(path.format(visit=visit), json={field: value}, headers=tenant.headers)
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]


async def test_what_was_made_or_begun_says_where_it_is(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """Location on 201 and 202."""
    made = await client.post("/v1/visits", json={"notes": "Replace a toilet."}, headers=tenant.headers)
    visit = made.json()["id"]
    job = await client.post(f"/v1/visits/{visit}/estimate", json={}, headers=tenant.headers)
    assert (job.status_code, job.headers["location"]) == (202, f"/v1/jobs/{job.json()['id']}")
    cancelled = await client.post(f"{job.headers['location']}/cancel", headers=tenant.headers)
    assert (cancelled.status_code, cancelled.headers["location"]) == (202, job.headers["location"])
    ticket = await client.post(f"/v1/visits/{visit}/progress/ticket", headers=tenant.headers)
    assert (ticket.status_code, ticket.headers["location"]) == (201, ticket.json()["url"])

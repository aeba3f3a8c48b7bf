"""Reading estimates: the newest of a visit, or any version by its id."""

import httpx
import pytest

from store.pool import Database
from tests.gateway.shares.documents import SECRET_REASON, Visit, save_next
from tests.tenants import Tenant

MISSING = "0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90"


async def test_an_estimate_has_its_lines_money_and_evidence(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Money is strings with two decimals, unpriced is null, and the contractor sees why a line needs review."""
    answer = await client.get(f"/v1/estimates/{visit.estimate['id']}", headers=tenant.headers)
    estimate = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')
    figures = ("version", "status", "currency", "subtotal", "tax_rate", "tax", "total", "line_count", "unpriced_count")
    assert [estimate[name] for name in figures] == [
        1, "draft", "USD", "275.63", "0.0825", "22.74", "298.37", 2, 1,
    ]  # fmt: skip
    gutter, seat = estimate["lines"]
    assert (gutter["quantity"], gutter["unit_price"], gutter["amount"]) == ("24.5", "11.25", "275.63")
    assert (gutter["review_reasons"], gutter["confidence"]) == ([SECRET_REASON], 0.613)
    assert gutter["evidence"][0] == {"source": "photo", "media_id": str(visit.cited)}
    assert (seat["unit_price"], seat["amount"], seat["match"]) == (None, None, None)
    assert [line["position"] for line in estimate["lines"]] == [1, 2]


async def test_a_visit_answers_its_newest_version(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, service: Database
) -> None:
    """The visit's address moves on to version 2; version 1 stays readable by its id."""
    newest = await save_next(service, visit)
    answer = await client.get(f"/v1/visits/{visit.id}/estimate", headers=tenant.headers)
    assert (answer.json()["id"], answer.headers["etag"]) == (str(newest["id"]), '"2"')
    first = await client.get(f"/v1/estimates/{visit.estimate['id']}", headers=tenant.headers)
    assert first.json()["version"] == 1


async def test_a_visit_without_an_estimate_says_so(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, service: Database
) -> None:
    """404 while there is none, told apart in words from an unknown visit."""
    async with service.as_system() as conn:
        fresh = await conn.fetchval("INSERT INTO site_visits (tenant_id) VALUES ($1) RETURNING id", tenant.id)
    answer = await client.get(f"/v1/visits/{fresh}/estimate", headers=tenant.headers)
    assert (answer.status_code, answer.json()["detail"]) == (404, "This visit has no estimate yet.")


@pytest.mark.parametrize("path", ["/v1/estimates/{estimate}", "/v1/visits/{visit}/estimate"])
async def test_another_tenants_estimate_is_not_there(
    client: httpx.AsyncClient, other_tenant: Tenant, visit: Visit, path: str
) -> None:
    """A foreign id answers exactly as an unknown one; a malformed one is 400."""
    real = path.format(estimate=visit.estimate["id"], visit=visit.id)
    foreign = await client.get(real, headers=other_tenant.headers)
    unknown = await client.get(path.format(estimate=MISSING, visit=MISSING), headers=other_tenant.headers)
    assert (foreign.status_code, unknown.status_code) == (404, 404)
    assert foreign.json()["detail"] == unknown.json()["detail"]
    malformed = await client.get(path.format(estimate="7", visit="7"), headers=other_tenant.headers)
    assert malformed.status_code == 400

"""What costs most is bounded by user and by company, and the health report by address."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.applications import Starlette

from gateway.http.limits.cost_limits import (
    COMPANY_FACTOR,
    COSTS,
    HEALTH_BURST,
    HISTORY_PAGES,
    PASSCODE_SHARES,
    PRICE_FILES,
    Cost,
    CostLimits,
)
from realtime.streams.multi_subscription import _name_of
from store.errors import TooMany
from store.pool import Database
from tests.gateway.shares.documents import client_of, make_visit
from tests.tenants import Tenant

A_PAGE = 500


def _who(tenant: Tenant) -> tuple[str, str]:
    return str(tenant.id), str(tenant.user_id)


def _use_up(app: Starlette, tenant: Tenant, cost: Cost) -> None:
    """Leave nothing for the next minute, however slow the machine is."""
    app.state.context.costs.charge(cost, _who(tenant), cost.burst + 60 * cost.per_second)


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
def test_a_user_and_a_company_have_their_bursts(cost: Cost) -> None:
    """One user stops at the burst; the company goes on until its users together have used its own."""
    costs, company = CostLimits(), str(uuid4())
    first = (company, "first")
    costs.spend(cost, first, cost.burst)
    with pytest.raises(TooMany):
        costs.spend(cost, first, cost.burst / 2)
    for number in range(COMPANY_FACTOR - 1):
        costs.spend(cost, (company, str(number)), cost.burst)
    with pytest.raises(TooMany):
        costs.spend(cost, (company, "last"), cost.burst / 2)
    costs.spend(cost, (str(uuid4()), "stranger"), cost.burst)


async def test_of_forty_shares_with_a_passcode_at_once_twenty_are_made(
    client: httpx.AsyncClient, tenant: Tenant, service: Database, admin: Any
) -> None:
    """The others are told when to come back; a share without a passcode is made all the same."""
    path = f"/v1/estimates/{(await make_visit(service, tenant)).estimate['id']}/shares"
    order = {"passcode": "blue door"}
    answers = await asyncio.gather(*(client.post(path, json=order, headers=tenant.headers) for _ in range(40)))
    made = [answer for answer in answers if answer.status_code == 201]
    assert len(made) <= PASSCODE_SHARES.burst + 2  # a slow machine gives back some while it works
    assert {answer.status_code for answer in answers} == {201, 429}
    assert await admin.fetchval("SELECT count(*) FROM shares WHERE tenant_id = $1", tenant.id) == len(made)
    assert (await client.post(path, json={}, headers=tenant.headers)).status_code == 201


async def test_events_are_read_page_by_page_until_it_is_too_much(
    app: Starlette, client: httpx.AsyncClient, tenant: Tenant, admin: Any
) -> None:
    """Pages are 429 then, and a stream that missed a long history is told to come back."""
    visit = (await client.post("/v1/visits", json={}, headers=tenant.headers)).json()["id"]
    await _fill(admin, tenant, UUID(visit), 2 * A_PAGE)
    page = f"/v1/visits/{visit}/events?after=0"
    assert len((await client.get(page, headers=tenant.headers)).json()["events"]) == A_PAGE
    _use_up(app, tenant, HISTORY_PAGES)
    refused = await client.get(page, headers=tenant.headers)
    assert (refused.status_code, int(refused.headers["retry-after"]) >= 1) == (429, True)
    resumed = await client.get(f"/v1/visits/{visit}/progress", headers=tenant.headers | {"last-event-id": "1"})
    assert (resumed.status_code, "busy" in resumed.text) == (200, True)
    cursor = f"{_name_of([visit])}:1"
    many = await client.get(f"/v1/progress?visit_id={visit}", headers=tenant.headers | {"last-event-id": cursor})
    assert (many.status_code, "busy" in many.text) == (200, True)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_price_books_go_in_and_out_as_files_so_often(
    app: Starlette, client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, method: str
) -> None:
    """Exports and imports count together; another company's go on."""
    path = "/v1/price-items/" + ("export" if method == "GET" else "import")
    file = {"content": "description,unit,unit_price\nPaint,ea,1\n", "headers": {"content-type": "text/csv"}}
    more = file if method == "POST" else {"headers": {}}
    _use_up(app, tenant, PRICE_FILES)
    answers = [
        await client.request(method, path, **{**more, "headers": more["headers"] | whose.headers})  # type: ignore[operator]
        for whose in (tenant, other_tenant)
    ]
    assert [answer.status_code for answer in answers] == [429, 200]


async def test_an_address_asks_for_health_so_often(app: Starlette) -> None:
    """Past the burst it is 429 with Retry-After; another address, and the balancer's checks, are answered."""
    async with client_of(app) as client:
        answers = await asyncio.gather(*(client.get("/health") for _ in range(HEALTH_BURST + 20)))
        ready = await client.get("/readyz")
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 10
    assert all("retry-after" in answer.headers for answer in refused)
    assert ready.status_code == 200


async def _fill(admin: Any, tenant: Tenant, visit: UUID, count: int) -> None:
    await admin.execute(
        "INSERT INTO processing_events (visit_id, tenant_id, type, payload) "
        "SELECT $1, $2, 'media.removed', jsonb_build_object('media_id', gen_random_uuid()) FROM generate_series(1, $3)",
        visit,
        tenant.id,
        count,
    )

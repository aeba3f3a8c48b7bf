"""Options are the customer's to pick: totals by the server, an acceptance bound to its selection."""

import io
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pypdf import PdfReader

from store.documents.certificate import Certificate
from store.pool import Database
from tests.gateway.shares.documents import Visit, customer_of, make_share, offer_options, open_share, share_now
from tests.tenants import Tenant


async def test_the_customer_picks_an_option_and_accepts_it(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Page, PDF, certificate and the contractor's list agree on the option and its total."""
    offered = await offer_options(client, tenant, visit)
    share = await make_share(client, tenant, offered)
    reader = customer_of(client, share)
    await reader.open()
    best = (await reader.look("?option=Best")).text
    assert "option “Best”" in best
    assert "<strong>$462.00</strong>" in best
    assert "<strong>$220.00</strong>" in best  # of the other option, to pick from
    assert "Copper gutter" in best.split("Other options")[0]
    bound = await reader.selection("Best")
    assert (await reader.decide(offered, **bound)).status_code == 303
    page = (await reader.look("?option=Good")).text
    assert "<dt>Option</dt><dd>Best</dd>" in page
    assert "<dt>Amount</dt><dd>$462.00</dd>" in page
    facts = (await reader.look("/certificate.json")).json()["facts"]
    assert (facts["option"], facts["total"], facts["selection_hash"]) == ("Best", "462.00", bound["selection_hash"])
    pdf = PdfReader(io.BytesIO((await reader.look("/estimate.pdf")).content))
    words = " ".join(" ".join(page.extract_text() for page in pdf.pages).split())
    assert "option “Best”" in words
    assert "Total $462.00" in words
    assert "Option Best" in words
    decision = (await share_now(client, tenant, offered, share["id"]))["decision"]
    assert (decision["option"], decision["total"], decision["taken"]) == ("Best", "462.00", "online")
    answer = await client.get(f"/v1/shares/{share['id']}/certificate", headers=tenant.headers)
    assert answer.json()["holds"] is True
    assert Certificate(answer.json()["certificate"], answer.json()["fingerprint"]).is_intact


@pytest.mark.parametrize(
    "change",
    [{"option": "Best"}, {"option": "Diamond"}, {"selection_hash": "0" * 64}],
)
async def test_an_acceptance_of_another_selection_is_refused(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, change: dict[str, str]
) -> None:
    """The hash of one option accepts no other, and no option that is not offered."""
    offered = await offer_options(client, tenant, visit)
    reader = await open_share(client, tenant, offered)
    bound = await reader.selection("Good") | change
    assert (await reader.decide(offered, **bound)).status_code == 409
    assert (await reader.decide(offered)).status_code == 303


async def test_the_selection_of_what_is_offered_is_the_estimate(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, service: Database
) -> None:
    """Its sums are those that the estimate was saved with."""
    offered = await offer_options(client, tenant, visit)
    async with service.as_system() as conn:
        sums = await conn.fetchval(
            "SELECT scopekit.selection_of(e, e.chosen_option) FROM estimates e WHERE id = $1", offered.estimate["id"]
        )
    for name in ("subtotal", "markup", "discount", "tax", "total"):
        assert Decimal(sums[name]) == Decimal(offered.estimate[name]), name


async def test_a_decision_by_phone_is_recorded_as_such(
    client: httpx.AsyncClient, tenant: Tenant, other_tenant: Tenant, visit: Visit
) -> None:
    """The contractor says who decided and for which option; the customer sees it; a second one is refused."""
    offered = await offer_options(client, tenant, visit)
    share = await make_share(client, tenant, offered)
    path = f"/v1/shares/{share['id']}/decision"
    told: dict[str, Any] = {"decision": "accepted", "name": "Maria Alvarez", "option": "Best"}
    told["content_hash"] = offered.estimate["content_hash"]
    assert (await client.post(path, json=told, headers=other_tenant.headers)).status_code == 404
    unknown = await client.post(path, json=told | {"option": "Diamond"}, headers=tenant.headers)
    assert (unknown.status_code, unknown.json()["code"]) == (409, "estimate_changed")
    answer = await client.post(path, json=told, headers=tenant.headers)
    decision = answer.json()["decision"]
    assert (answer.status_code, decision["taken"], decision["option"], decision["total"]) == (
        200,
        "phone",
        "Best",
        "462.00",
    )
    again = await client.post(path, json=told, headers=tenant.headers)
    assert (again.status_code, again.json()["code"]) == (409, "already_decided")
    reader = customer_of(client, share)
    await reader.open()
    assert "By phone, recorded by the contractor" in (await reader.look()).text


async def test_a_signature_in_person_says_so(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """A link that was opened on the contractor's device takes the decision as taken in person."""
    share = await make_share(client, tenant, visit, in_person=True)
    reader = customer_of(client, share)
    await reader.open()
    assert (await reader.decide(visit)).status_code == 303
    assert (await reader.look("/certificate.json")).json()["facts"]["taken"] == "in_person"
    assert "In person, on the contractor" in (await reader.look()).text

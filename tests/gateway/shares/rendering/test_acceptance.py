"""An acceptance: signed, certified, and then locked."""

import hashlib
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from store.documents import signature
from store.estimates import estimates
from store.pool import Database
from tests.gateway.shares.documents import Visit, customer_of, make_share, open_share, save_next, share_now
from tests.tenants import Tenant

DRAWN = "M40 120L80 40L120 120L160 60L200 130M260 90L330 110"


async def _accepted(client: httpx.AsyncClient, tenant: Tenant, visit: Visit, **form: str) -> dict[str, Any]:
    share = await make_share(client, tenant, visit)
    reader = customer_of(client, share)
    await reader.open()
    assert (await reader.decide(visit, **form)).status_code == 303
    return share


async def test_a_certificate_says_who_accepted_what_and_when(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Name, version, hash, total, moment, truncated address and kind of browser; the drawing by its hash."""
    share = await _accepted(client, tenant, visit, name="María Álvarez", signature=DRAWN)
    answer = await client.get(f"/v1/shares/{share['id']}/certificate", headers=tenant.headers)
    facts = answer.json()["facts"]
    assert facts["accepted_by"] == "María Álvarez"
    assert (facts["version"], facts["content_hash"]) == (1, visit.estimate["content_hash"])
    assert (facts["total"], facts["currency"]) == ("298.37", "USD")
    assert (facts["address"], facts["browser"]) == ("127.0.0.0/24", "bot")
    assert facts["signature_sha256"] == hashlib.sha256(DRAWN.encode()).hexdigest()
    decided = await share_now(client, tenant, visit, share["id"])
    assert facts["accepted_at"] == decided["decision"]["decided_at"]


async def test_both_sides_can_check_it(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """The customer's file and the contractor's answer are one text, whose sha256 is the fingerprint on the page."""
    reader = await open_share(client, tenant, visit)
    await reader.decide(visit)
    kept = await reader.look("/certificate.json")
    assert kept.headers["content-disposition"].startswith("attachment")
    theirs = kept.json()
    assert hashlib.sha256(theirs["certificate"].encode()).hexdigest() == theirs["fingerprint"]
    share_id = theirs["facts"]["share_id"]
    ours = (await client.get(f"/v1/shares/{share_id}/certificate", headers=tenant.headers)).json()
    assert ours.pop("holds") is True
    assert ours == theirs
    assert theirs["fingerprint"] in (await reader.look()).text


async def test_a_changed_line_or_word_does_not_hold(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """Should somebody get past the locks, the certificate shows it."""
    share = await _accepted(client, tenant, visit)
    certificate = f"/v1/shares/{share['id']}/certificate"
    await admin.execute("SET session_replication_role = replica")  # no trigger fires
    await admin.execute(
        "UPDATE estimate_lines SET description = 'Replace half the gutter' WHERE estimate_id = $1 AND position = 1",
        visit.estimate["id"],
    )
    assert (await client.get(certificate, headers=tenant.headers)).json()["holds"] is False


@pytest.mark.parametrize("decision", ["declined", "changes_requested"])
async def test_only_an_acceptance_is_certified(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, decision: str
) -> None:
    """404 on both sides for any other answer."""
    share = await make_share(client, tenant, visit)
    reader = customer_of(client, share)
    await reader.open()
    await reader.decide(visit, decision, message="Later, please")
    assert (await reader.look("/certificate.json")).status_code == 404
    answer = await client.get(f"/v1/shares/{share['id']}/certificate", headers=tenant.headers)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        ("M1 1L2 2", "too small"),
        ("M10 10L10 20L10 30L10 40L10 50L10 60", "too small"),
        ("M10 10L900 20L30 30L40 40L50 50", "past its field"),
        ("M10 10L20 20Z", "Signature: "),
        ('M1 1L2 2"/><script>alert(1)</script>', "Signature: "),
        ("M10 10" + "L11 11" * 3000, "Signature: "),
    ],
)
async def test_what_is_no_signature_is_refused(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, drawn: str, words: str
) -> None:
    """A dot, a line, a point outside, another path or one too long: 422 in words, and nothing is recorded."""
    reader = await open_share(client, tenant, visit)
    answer = await reader.decide(visit, signature=drawn)
    assert (answer.status_code, words in answer.text) == (422, True)
    assert (await reader.decide(visit, signature=DRAWN)).status_code == 303


def test_strokes_are_what_was_drawn() -> None:
    """A path is read back as its strokes, each a list of points."""
    assert signature.strokes("M1 2L3 4L5 6M7 8L9 10") == [[(1, 2), (3, 4), (5, 6)], [(7, 8), (9, 10)]]
    assert signature.strokes("") == []


async def test_terms_changed_meanwhile_are_not_accepted(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """An answer names the terms that were read; others make 409, and the page shows the new ones."""
    reader = await open_share(client, tenant, visit)
    await client.patch("/v1/branding", json={"terms": "All of it in advance."}, headers=tenant.headers)
    assert (await reader.decide(visit)).status_code == 409
    page = (await reader.look()).text
    assert "All of it in advance." in page
    terms_hash = hashlib.sha256(b"All of it in advance.").hexdigest()
    assert terms_hash in page
    assert (await reader.decide(visit, terms_hash=terms_hash)).status_code == 303
    await client.patch("/v1/branding", json={"terms": "And a bonus."}, headers=tenant.headers)
    accepted = (await reader.look()).text
    assert "All of it in advance." in accepted
    assert "bonus" not in accepted


async def test_an_edit_makes_the_next_version_and_leaves_the_accepted_one(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """201 with a draft that has no answer; the accepted version, its page and its certificate are as they were."""
    reader = await open_share(client, tenant, visit)
    await reader.decide(visit)
    before = await admin.fetchrow("SELECT * FROM estimates WHERE id = $1", visit.estimate["id"])
    line = {"description": "Another gutter", "quantity": "1", "unit": "each", "unit_price": "5000.00"}
    edited = await client.put(
        f"/v1/estimates/{visit.estimate['id']}/lines",
        json={"lines": [line]},
        headers=tenant.headers | {"if-match": '"1"'},
    )
    assert (edited.status_code, edited.json()["version"], edited.json()["status"]) == (201, 2, "draft")
    assert await admin.fetchrow("SELECT * FROM estimates WHERE id = $1", visit.estimate["id"]) == before
    page = (await reader.look()).text
    assert "<strong>Accepted</strong>" in page
    assert "Another gutter" not in page
    assert (await reader.decide(visit, "declined")).status_code == 409


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE estimates SET status = 'draft' WHERE id = $1",
        "UPDATE estimates SET content_hash = repeat('0', 64) WHERE id = $1",
        "DELETE FROM estimates WHERE id = $1",
        "UPDATE estimate_lines SET description = 'Less' WHERE estimate_id = $1",
        "DELETE FROM estimate_lines WHERE estimate_id = $1",
        (
            "INSERT INTO estimate_lines (tenant_id, estimate_id, position, description, quantity, unit, needs_review) "
            "SELECT tenant_id, id, 99, 'More', 1, 'each', true FROM estimates WHERE id = $1"
        ),
        "UPDATE share_decisions SET name = 'Somebody else' WHERE estimate_id = $1",
        "DELETE FROM share_decisions WHERE estimate_id = $1",
    ],
)
async def test_whoever_asks_a_decided_version_does_not_change(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any, change: str
) -> None:
    """Not even the schema's owner alters what was accepted."""
    await _accepted(client, tenant, visit)
    with pytest.raises(asyncpg.RestrictViolationError):
        await admin.execute(change, visit.estimate["id"])


async def test_a_visit_that_goes_takes_its_acceptance_along(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """The lock is against changes, not against deleting a visit whole."""
    await _accepted(client, tenant, visit)
    await admin.execute("DELETE FROM site_visits WHERE id = $1", visit.id)
    assert (
        await admin.fetchval("SELECT count(*) FROM share_decisions WHERE estimate_id = $1", visit.estimate["id"]) == 0
    )


async def test_a_stored_version_reckons_to_its_hash(service: Database, visit: Visit) -> None:
    """What a certificate is checked by: the rows alone give the hash they were saved with."""
    newest = await save_next(service, visit)
    assert estimates.computed_hash(newest) == newest["content_hash"] == visit.estimate["content_hash"]
    dearer = orjson.loads(orjson.dumps(newest, default=str))
    dearer["lines"][0]["quantity"] = "25"
    dearer["lines"][0]["unit_price"] = newest["lines"][0]["unit_price"]
    assert estimates.computed_hash(dearer) != newest["content_hash"]

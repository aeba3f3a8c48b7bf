"""Estimates to share, links to them, and customers who open them."""

import io
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import httpx
from PIL import Image

from store.estimates import estimates
from store.objects.objects import ObjectStore
from store.pool import Connection, Database
from tests.tenants import Tenant

OUR_PAGE = {"sec-fetch-site": "same-origin", "accept": "text/html"}
NO_TERMS = sha256(b"").hexdigest()
SECRET_REASON = "price looks too low for this trade"


@dataclass(frozen=True)
class Visit:
    """A visit with photos and an estimate: `cited` photos hang on a line, the `uncited` one on none."""

    id: UUID
    estimate: dict[str, Any]
    cited: UUID
    uncited: UUID
    new: estimates.NewEstimate


@dataclass
class Customer:
    """Somebody with a link and a browser, which keeps cookies of its own."""

    http: httpx.AsyncClient
    url: str
    headers: dict[str, str] = field(default_factory=lambda: dict(OUR_PAGE))

    async def look(self, path: str = "", **more: str) -> httpx.Response:
        """GET the page, or something under it."""
        return await self.http.get(self.url + path, headers={"accept": "text/html", **more})

    async def open(self, **form: str) -> httpx.Response:
        """Press the door's button."""
        return await self.http.post(f"{self.url}/open", data=form, headers=self.headers)

    async def selection(self, option: str = "") -> dict[str, str]:
        """Read from the page what an acceptance of this option is bound to."""
        page = (await self.look(f"?option={option}")).text
        return dict(re.findall(r'name="(option|selection_hash)" value="([^"]*)">', page))

    async def decide(self, visit: Visit, decision: str = "accepted", **form: str) -> httpx.Response:
        """Send an answer to what this visit's estimate says."""
        bound = {"content_hash": visit.estimate["content_hash"], "terms_hash": NO_TERMS, **await self.selection()}
        values = {"decision": decision, "name": "Jane Doe", **bound, **form}
        return await self.http.post(f"{self.url}/decision", data=values, headers=self.headers)


async def open_share(client: httpx.AsyncClient, tenant: Tenant, visit: Visit, **order: Any) -> Customer:
    """Make a link, and give it to somebody who opens it."""
    customer = customer_of(client, await make_share(client, tenant, visit, **order))
    assert (await customer.open(passcode=order.get("passcode", ""))).status_code == 303
    return customer


async def store_photos(objects: ObjectStore, tenant: Tenant, visit: Visit) -> None:
    """Put real photos where the visit's rows say they lie."""
    for photo in (visit.cited, visit.uncited):
        body = io.BytesIO()
        Image.new("RGB", (1200, 900), "olive").save(body, "JPEG")
        await objects.put(f"{tenant.id}/{visit.id}/{photo}", body.getvalue(), content_type="image/jpeg")


async def make_visit(service: Database, tenant: Tenant) -> Visit:
    """Make a visit whose estimate has a priced and an unpriced line, a cited photo and spoken words."""
    visit, cited, uncited, recording = (uuid4() for _ in range(4))
    async with service.as_system() as conn:
        await conn.execute(
            "INSERT INTO site_visits (id, tenant_id, title, customer_name, address, notes) "
            "VALUES ($1, $2, 'Porch repair', 'Maria Alvarez', '7 Elm Street', 'dog bites; ask for a discount')",
            visit,
            tenant.id,
        )
        await _add_media(conn, tenant, visit, cited, "photo", "image/jpeg", "North wall")
        await _add_media(conn, tenant, visit, uncited, "photo", "image/jpeg", "My lunch")
        await _add_media(conn, tenant, visit, recording, "audio", "audio/webm", "")
        new = _estimate(tenant, visit, cited, recording)
        return Visit(visit, await estimates.save_version(conn, new), cited, uncited, new)


async def save_next(service: Database, visit: Visit) -> dict[str, Any]:
    """Save a newer version of the visit's estimate."""
    async with service.as_system() as conn:
        return await estimates.save_version(conn, visit.new)


async def offer_options(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> Visit:
    """Edit the estimate as the contractor: two options with markup, discount and tax; Good is the chosen one."""
    line = {"description": "Replace gutter", "quantity": "10", "unit": "lf", "unit_price": "10.00"}
    best = {
        "id": str(visit.estimate["lines"][0]["id"]),
        "option": "Best",
        "description": "Copper gutter",
        "unit_price": "30.00",
    }
    edit = {
        "lines": [line, line | {"option": "Good", "description": "Aluminum gutter"}, line | best],
        "options": ["Good", "Best"],
        "markup_rate": "0.1",
        "discount": {"amount": "20.00"},
        "tax_rate": "0.1",
    }
    headers = tenant.headers | {"if-match": '"1"'}
    answer = await client.put(f"/v1/estimates/{visit.estimate['id']}/lines", json=edit, headers=headers)
    assert answer.status_code in {200, 201}, answer.text
    return replace(visit, estimate=answer.json())


async def make_share(client: httpx.AsyncClient, tenant: Tenant, visit: Visit, **order: Any) -> dict[str, Any]:
    """Make a link as the contractor."""
    answer = await client.post(f"/v1/estimates/{visit.estimate['id']}/shares", json=order, headers=tenant.headers)
    assert answer.status_code == 201, answer.text
    share: dict[str, Any] = answer.json()
    return share


async def share_now(client: httpx.AsyncClient, tenant: Tenant, visit: Visit, share_id: str) -> dict[str, Any]:
    """Read a share again as its owner."""
    answer = await client.get(f"/v1/estimates/{visit.estimate['id']}/shares", headers=tenant.headers)
    share: dict[str, Any] = next(share for share in answer.json()["shares"] if share["id"] == share_id)
    return share


def customer_of(client: httpx.AsyncClient, share: dict[str, Any]) -> Customer:
    """Give somebody the link, with a browser that shares no cookies with another's."""
    transport = client._transport
    return Customer(httpx.AsyncClient(transport=transport, base_url=client.base_url), share["url"])


async def until_refused(ask: Callable[[int], Awaitable[httpx.Response]], burst: int) -> list[httpx.Response]:
    """Ask again and again until it is too often; a slow machine may be let in a few times more than `burst`."""
    answers = [await ask(number) for number in range(burst)]
    while answers[-1].status_code != 429 and len(answers) < 4 * burst:
        answers.append(await ask(len(answers)))
    assert 429 not in {answer.status_code for answer in answers[:-1]}
    assert (answers[-1].status_code, len(answers) > burst) == (429, True)
    return answers


def client_of(app: Any) -> httpx.AsyncClient:
    """Call an app whose context was changed after its start."""

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"context": app.state.context}
        await app(scope, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(app=with_state), base_url="http://gateway.test")


async def _add_media(
    conn: Connection, tenant: Tenant, visit: UUID, media: UUID, kind: str, content_type: str, label: str
) -> None:
    await conn.execute(
        "INSERT INTO site_visit_media (id, tenant_id, visit_id, media_type, content_type, storage_path, file_size, "
        "sha256, original_name, label) VALUES ($1, $2, $3, $4, $5, $6, 10, repeat('0', 64), 'IMG_0042.jpg', $7)",
        media,
        tenant.id,
        visit,
        kind,
        content_type,
        f"{tenant.id}/{visit}/{media}",
        label,
    )


def _estimate(tenant: Tenant, visit: UUID, photo: UUID, recording: UUID) -> estimates.NewEstimate:
    gutter = estimates.NewLine(
        description="Replace gutter",
        category="roofing",
        quantity=Decimal("24.5"),
        unit="lf",
        unit_price=Decimal("11.25"),
        match={"name": "Seamless aluminum gutter", "score": 0.731},
        evidence=[
            {"source": "photo", "media_id": str(photo)},
            {"source": "audio", "media_id": str(recording), "quote": "the <b>whole</b> gutter has to go"},
            {"source": "notes", "quote": "ask for a discount"},
        ],
        assumptions=["single storey"],
        confidence=0.613,
        needs_review=True,
        review_reasons=[SECRET_REASON],
    )
    seat = estimates.NewLine(
        description="Rebuild window seat",
        quantity=Decimal(1),
        unit="each",
        evidence=[{"source": "notes", "quote": "window seat"}],
    )
    return estimates.NewEstimate(
        tenant_id=tenant.id,
        visit_id=visit,
        engine="local",
        model="rules-1",
        currency="USD",
        tax_rate=Decimal("0.0825"),
        lines=[gutter, seat],
        summary="Gutter and window seat.",
        coverage=["Photos were not analysed."],
    )

"""Photos in a shared document: those a line cites, as clean JPEGs, by URLs that soon die."""

import asyncio
import dataclasses
import io
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from PIL import Image

from store.objects.objects import ObjectStore
from store.pool import Database
from tests.gateway.shares.documents import Customer, Visit, client_of, customer_of, make_share, make_visit, open_share
from tests.tenants import Tenant

GPS_IFD = 0x8825


@pytest.fixture
async def reader(client: httpx.AsyncClient, tenant: Tenant, visit: Visit, objects: ObjectStore) -> Customer:
    """Open a share whose photos are really in the store, with a place written into them."""
    for photo in (visit.cited, visit.uncited):
        key = f"{tenant.id}/{visit.id}/{photo}"
        await objects.put(key, _photo_with_place(), content_type="image/jpeg")
    customer = customer_of(client, await make_share(client, tenant, visit))
    await customer.open()
    return customer


def _photo_with_place() -> bytes:
    exif = Image.Exif()
    exif.get_ifd(GPS_IFD).update({1: "N", 2: (52.0, 31.0, 12.0)})
    body = io.BytesIO()
    Image.new("RGB", (1200, 900), "olive").save(body, "JPEG", exif=exif)
    return body.getvalue()


@pytest.mark.parametrize(("size", "longest"), [("thumb", 400), ("view", 1200)])
async def test_a_cited_photo_is_a_small_clean_jpeg(reader: Customer, visit: Visit, size: str, longest: int) -> None:
    """The page's address leads to a signed one, where a JPEG without EXIF lies."""
    answer = await reader.look(f"/media/{visit.cited}?size={size}")
    assert answer.status_code == 302
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    async with httpx.AsyncClient() as browser:
        photo = await browser.get(answer.headers["location"])
    assert (photo.status_code, photo.headers["content-type"]) == (200, "image/jpeg")
    image = Image.open(io.BytesIO(photo.content))
    assert max(image.size) == longest
    assert dict(image.getexif()) == {}


async def test_its_address_lives_for_the_share_links_time(reader: Customer, visit: Visit, settings: Any) -> None:
    """The signature is good for SHARE_LINK_TTL seconds, and each look at the page mints a new one."""
    answer = await reader.look(f"/media/{visit.cited}")
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["X-Amz-Expires"] == [str(settings.share_link_ttl)] == ["300"]


async def test_a_new_one_is_minted_while_the_session_lives(
    client: httpx.AsyncClient, app: Any, tenant: Tenant, visit: Visit, objects: ObjectStore, settings: Any
) -> None:
    """When a signed address has died, the page's own address leads to another that works."""
    await objects.put(f"{tenant.id}/{visit.id}/{visit.cited}", _photo_with_place(), content_type="image/jpeg")
    short = settings.model_copy(update={"share_link_ttl": 1})
    app.state.context = dataclasses.replace(app.state.context, settings=short)
    async with client_of(app) as caller, httpx.AsyncClient() as browser, asyncio.timeout(30):
        reader = await open_share(caller, tenant, visit)
        first = (await reader.look(f"/media/{visit.cited}")).headers["location"]
        while (await browser.get(first)).status_code != 403:  # the store's clock decides, not ours
            pass
        app.state.context = dataclasses.replace(app.state.context, settings=settings)
        again = (await reader.look(f"/media/{visit.cited}")).headers["location"]
        assert (await browser.get(again)).status_code == 200


async def test_with_the_proxy_no_photo_outlives_the_session(
    client: httpx.AsyncClient, app: Any, tenant: Tenant, visit: Visit, objects: ObjectStore, settings: Any
) -> None:
    """SHARE_MEDIA_PROXY: the bytes come from here, the policy names no store, and a revocation ends them at once."""
    await objects.put(f"{tenant.id}/{visit.id}/{visit.cited}", _photo_with_place(), content_type="image/jpeg")
    proxied = settings.model_copy(update={"share_media_proxy": True})
    app.state.context = dataclasses.replace(app.state.context, settings=proxied)
    async with client_of(app) as caller:
        share = await make_share(caller, tenant, visit)
        reader = customer_of(caller, share)
        await reader.open()
        policy = (await reader.look()).headers["content-security-policy"]
        assert "img-src 'self';" in policy
        photo = await reader.look(f"/media/{visit.cited}")
        assert (photo.status_code, photo.headers["content-type"]) == (200, "image/jpeg")
        assert photo.headers["cache-control"] == "no-store"
        assert max(Image.open(io.BytesIO(photo.content)).size) == 1200
        await caller.post(f"/v1/shares/{share['id']}/revoke", headers=tenant.headers)
        assert (await reader.look(f"/media/{visit.cited}")).status_code == 410


async def test_the_page_names_the_cited_photo_and_no_other(reader: Customer, visit: Visit) -> None:
    """A thumbnail that opens large, with its label for who cannot see it; the rest of the visit stays private."""
    page = (await reader.look()).text
    assert f'/media/{visit.cited}?size=thumb" alt="Photo 1: North wall"' in page
    assert f'/media/{visit.cited}?size=view"' in page
    assert str(visit.uncited) not in page
    assert "My lunch" not in page
    assert "IMG_0042" not in page


async def test_nothing_else_can_be_fetched(
    client: httpx.AsyncClient, reader: Customer, visit: Visit, service: Database, tenant: Tenant, other_tenant: Tenant
) -> None:
    """Not an uncited photo, not another visit's, not another tenant's, and nothing without the session."""
    elsewhere = [await make_visit(service, of) for of in (tenant, other_tenant)]
    for media_id in (visit.uncited, *(there.cited for there in elsewhere), visit.id):
        assert (await reader.look(f"/media/{media_id}")).status_code == 404
    assert (await client.get(f"{reader.url}/media/{visit.cited}")).status_code == 404


async def test_a_photo_whose_original_is_lost_is_not_found(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """The document still reads; the photo alone answers 404."""
    reader = customer_of(client, await make_share(client, tenant, visit))
    await reader.open()
    assert (await reader.look()).status_code == 200
    assert (await reader.look(f"/media/{visit.cited}")).status_code == 404

"""A contractor's own name, colour and logo: set by who may, readable, and on the customer's document."""

import io
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from store.documents import colors
from tests.gateway.shares.documents import Visit, open_share
from tests.tenants import Admin, Tenant, make_member

WHITE = (255, 255, 255)


def _logo(kind: str = "PNG", size: tuple[int, int] = (900, 300)) -> bytes:
    body = io.BytesIO()
    Image.new("RGBA" if kind != "JPEG" else "RGB", size, "navy").save(body, kind)
    return body.getvalue()


async def _put_logo(client: httpx.AsyncClient, tenant: Tenant, body: bytes, kind: str = "image/png") -> httpx.Response:
    return await client.put("/v1/branding/logo", content=body, headers=tenant.headers | {"content-type": kind})


async def test_words_and_colour_are_on_the_customers_page(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """What is set shows in the document and its style sheet; what is left out stays as it was."""
    change = {"business_name": "Müller & Söhne", "terms": "Half now.", "accent": "#7A2E1D", "email": "a@b.example"}
    answer = await client.patch("/v1/branding", json=change, headers=tenant.headers)
    assert answer.status_code == 200, answer.text
    assert answer.json() | {"accent": "#7a2e1d"} == answer.json()
    assert answer.json()["phone"] == "+1 555 0100"
    reader = await open_share(client, tenant, visit)
    page = (await reader.look()).text
    assert [word for word in ("Müller &amp; Söhne", "Half now.", "a@b.example") if word not in page] == []
    style = await reader.look("/colours.css")
    assert (style.headers["content-type"], "--accent:#7a2e1d" in style.text) == ("text/css; charset=utf-8", True)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"accent": "#ffee00"}, "accent"),
        ({"accent": "red"}, "accent"),
        ({"accent": "#0b5d49;}body{display:none"}, "accent"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "localtime"}, "timezone"),
        ({"email": "not an address"}, "email"),
        ({"business_name": "x" * 121}, "business_name"),
        ({"terms": "x" * 5001}, "terms"),
        ({"logo_path": "elsewhere"}, "logo_path"),
    ],
)
async def test_what_cannot_be_used_names_its_field(
    client: httpx.AsyncClient, tenant: Tenant, change: dict[str, Any], field: str
) -> None:
    """422, and nothing changes."""
    before = (await client.get("/v1/branding", headers=tenant.headers)).json()
    answer = await client.patch("/v1/branding", json=change, headers=tenant.headers)
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])
    assert (await client.get("/v1/branding", headers=tenant.headers)).json() == before


async def test_a_pale_colour_is_refused_with_one_that_reads(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """The message has the contrast and the nearest darker shade, which is then taken."""
    answer = await client.patch("/v1/branding", json={"accent": "#7fc8f8"}, headers=tenant.headers)
    message = answer.json()["errors"][0]["message"]
    assert "1.7; 4.5 is needed" in message
    darker = message.rsplit("Try ", 1)[1].rstrip(".")
    taken = await client.patch("/v1/branding", json={"accent": darker}, headers=tenant.headers)
    assert taken.json()["accent"] == darker


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_every_colour_that_is_taken_or_proposed_reads(colour: tuple[int, int, int]) -> None:
    """White on it, it on white, and white on its pressed shade have the contrast that text needs."""
    try:
        accent = colors.require_readable(colors.text(colour))
    except colors.TooPale as pale:
        accent = colors.require_readable(pale.darker)
    for shade in (accent, colors.pressed(accent)):
        assert colors.contrast(colors.parse(shade), WHITE) >= colors.LEAST_CONTRAST


def test_contrast_is_as_the_guidelines_reckon_it() -> None:
    """Black on white is 21, a grey of the guidelines' own examples just misses 4.5, and order does not matter."""
    assert colors.contrast((0, 0, 0), WHITE) == pytest.approx(21)
    assert colors.contrast((0x77, 0x77, 0x77), WHITE) == pytest.approx(4.478, abs=0.001)
    assert colors.contrast(WHITE, (0, 0, 0)) == colors.contrast((0, 0, 0), WHITE)


@pytest.mark.parametrize(("kind", "name"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
async def test_a_logo_is_drawn_anew_and_shown(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, kind: str, name: str
) -> None:
    """Whatever came in, a small clean JPEG goes out, to whoever may read the document."""
    assert (await _put_logo(client, tenant, _logo(kind), name)).json()["has_logo"] is True
    reader = await open_share(client, tenant, visit)
    assert '/logo" alt=""' in (await reader.look()).text
    answer = await reader.look("/logo")
    image = Image.open(io.BytesIO(answer.content))
    assert (answer.headers["content-type"], image.format, image.size) == ("image/jpeg", "JPEG", (480, 160))
    assert len(answer.content) < 20_000


async def test_a_new_logo_replaces_the_old_and_none_is_none(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, app: Any
) -> None:
    """Only the newest lies in the store; deleted, the page shows the name alone."""
    for _ in range(2):
        await _put_logo(client, tenant, _logo())
    assert len(await app.state.context.objects.keys(f"{tenant.id}/brand/")) == 1
    stale = tenant.headers | {"if-match": '"stale"'}
    assert (await client.delete("/v1/branding/logo", headers=stale)).status_code == 412
    refused = await client.put("/v1/branding/logo", content=_logo(), headers=stale | {"content-type": "image/png"})
    assert refused.json()["code"] == "version_mismatch"
    assert (await client.delete("/v1/branding/logo", headers=tenant.headers)).status_code == 204
    assert await app.state.context.objects.keys(f"{tenant.id}/brand/") == {}
    reader = await open_share(client, tenant, visit)
    assert "/logo" not in (await reader.look()).text
    assert (await reader.look("/logo")).status_code == 404


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (_logo("GIF"), "image/png", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", 415),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 100, "image/png", 422),
        (b"\x89PNG\r\n\x1a\n" + b"x" * (2 * 1024 * 1024), "image/png", 413),
    ],
    ids=["of another format, whatever it says", "a drawing that can hold script", "broken", "too large"],
)
async def test_what_is_no_logo_is_refused(
    client: httpx.AsyncClient, tenant: Tenant, app: Any, body: bytes, kind: str, status: int
) -> None:
    """Nothing is set, and nothing stays in the store."""
    assert (await _put_logo(client, tenant, body, kind)).status_code == status
    assert (await client.get("/v1/branding", headers=tenant.headers)).json()["has_logo"] is False
    assert await app.state.context.objects.keys(f"{tenant.id}/brand/") == {}


@pytest.mark.parametrize("kind", ["image/svg+xml", "audio/webm", ""])
async def test_a_refused_logo_is_told_what_is_taken(client: httpx.AsyncClient, tenant: Tenant, kind: str) -> None:
    """Three kinds of pictures, and not the recordings that a visit takes."""
    answer = await _put_logo(client, tenant, b"<svg/>", kind)
    assert (answer.status_code, answer.json()["allowed"]) == (415, ["image/jpeg", "image/png", "image/webp"])


@pytest.mark.parametrize("role", ["member", "viewer"])
async def test_only_owners_and_admins_change_branding(
    client: httpx.AsyncClient, admin: Admin, tenant: Tenant, role: str
) -> None:
    """Members and viewers read it, whatever role their tokens claim."""
    member = await make_member(admin, tenant, role)
    token = member.token(app_metadata={"tenant_id": str(tenant.id), "role": "owner"})
    headers = {"authorization": f"Bearer {token}"}
    assert (await client.get("/v1/branding", headers=headers)).status_code == 200
    answers = [
        await client.patch("/v1/branding", json={"terms": "Mine now."}, headers=headers),
        await client.put("/v1/branding/logo", content=_logo(), headers=headers | {"content-type": "image/png"}),
        await client.delete("/v1/branding/logo", headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [403] * 3


@pytest.mark.parametrize(("role", "changed"), [("viewer", 0), ("member", 0), ("admin", 1), ("owner", 1)])
async def test_the_database_itself_asks_for_the_role(
    tenant: Tenant, admin: Admin, db: Any, role: str, changed: int
) -> None:
    """No row is updated by a user whose membership row is no administrator's."""
    member = await make_member(admin, tenant, role)
    async with db.as_user(member.claims) as conn:
        assert await conn.execute("UPDATE tenant_settings SET accent = '#000000'") == f"UPDATE {changed}"

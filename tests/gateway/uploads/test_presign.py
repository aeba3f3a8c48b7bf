import asyncio
import hashlib
from typing import Any
from uuid import uuid4

import httpx
import pytest

from config.settings import Settings
from jobs.kinds.maintenance import sweep_forms
from store.objects.objects import ObjectStore
from store.pool import Database
from tests.gateway.uploads.conftest import allow
from tests.gateway.uploads.files import files
from tests.tenants import Tenant


@pytest.fixture
def ask(client: httpx.AsyncClient, tenant: Tenant, visit: str) -> Any:
    """Give a hand that asks for a form; its keywords are the body."""

    async def post(**wish: Any) -> httpx.Response:
        return await client.post(f"/v1/visits/{visit}/media/presign", json=wish, headers=tenant.headers)

    return post


@pytest.fixture
def complete(client: httpx.AsyncClient, tenant: Tenant, visit: str) -> Any:
    """Give a hand that completes an upload."""

    async def post(media_id: str) -> httpx.Response:
        return await client.post(f"/v1/visits/{visit}/media/{media_id}/complete", headers=tenant.headers)

    return post


@pytest.fixture
def sweep(service: Database, settings: Settings, tenant: Tenant, admin: Any) -> Any:
    """Give a hand that lets this tenant's forms have expired a while ago, and does the worker's task."""

    async def run(expired: str = "61 minutes") -> None:
        await admin.execute(
            "UPDATE media_uploads SET expires_at = now() - $2::text::interval WHERE tenant_id = $1", tenant.id, expired
        )
        async with service.as_system() as conn:
            await sweep_forms(settings, conn)

    return run


async def _send(form: dict[str, Any], body: bytes) -> int:
    """Post a form as a browser does, straight to the store."""
    async with httpx.AsyncClient() as browser:
        answer = await browser.post(form["url"], data=form["fields"], files={"file": ("photo", body)})
    return answer.status_code


async def test_a_file_goes_straight_to_the_store(ask: Any, complete: Any, objects: ObjectStore, tenant: Tenant) -> None:
    """Ask, post, complete: the medium is measured and hashed by us, and completing again changes nothing."""
    body = files.jpeg()
    answer = await ask(content_type="image/jpeg", file_size=len(body), original_name="a/roof.jpg", sequence=4)
    assert answer.status_code == 201, answer.text
    form = answer.json()
    assert await _send(form, body) == 204
    done = await complete(form["media_id"])
    assert done.status_code == 201, done.text
    medium = done.json()
    assert medium["id"] == form["media_id"]
    assert medium["sha256"] == hashlib.sha256(body).hexdigest()
    assert (medium["original_name"], medium["sequence"], medium["width"]) == ("roof.jpg", 4, 600)
    again = await complete(form["media_id"])
    assert (again.status_code, again.json()) == (200, medium)
    assert len(await objects.keys(f"{tenant.id}/")) == 1


async def test_what_was_verified_cannot_be_replaced_by_the_form(
    ask: Any, complete: Any, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    """The form outlives completion, but what it writes then is not the medium."""
    body, other = files.png(64, 48), files.png(64, 48)[:-1] + b"x"
    form = (await ask(content_type="image/png", file_size=len(body))).json()
    await _send(form, body)
    await complete(form["media_id"])
    assert await _send(form, other) == 204
    content = await client.get(f"/v1/media/{form['media_id']}/content", headers=tenant.headers)
    async with httpx.AsyncClient() as browser:
        assert (await browser.get(content.headers["location"])).content == body


async def test_the_store_itself_refuses_more_than_was_announced(ask: Any) -> None:
    """content-length-range holds at the store, so a large file never gets in."""
    form = (await ask(content_type="image/png", file_size=1000)).json()
    assert await _send(form, bytes(1001)) == 400


async def test_a_form_is_good_for_what_was_signed_and_for_a_while(
    ask: Any, objects: ObjectStore, tenant: Tenant
) -> None:
    """Under another key, as another type or after its time, the store takes nothing."""
    body = files.png()
    form = (await ask(content_type="image/png", file_size=len(body))).json()
    for change in ({"key": f"{tenant.id}/elsewhere"}, {"Content-Type": "text/html"}):
        assert await _send(form | {"fields": form["fields"] | change}, body) == 403
    late = await objects.presign_post(f"{tenant.id}/late", content_type="image/png", max_bytes=len(body), ttl=-60)
    assert await _send({"url": late.url, "fields": late.fields}, body) == 403
    assert not await objects.keys(f"{tenant.id}/")


@pytest.mark.parametrize(
    ("announced", "sent", "status"),
    [
        ({"content_type": "image/png", "file_size": 5000}, files.png(), 422),
        ({"content_type": "image/jpeg", "file_size": 600}, b"%PDF-1.7\n" + bytes(591), 415),
        ({"content_type": "image/png", "file_size": len(files.png()), "sha256": "0" * 64}, files.png(), 422),
    ],
)
async def test_a_lie_is_found_and_deleted(
    ask: Any, complete: Any, objects: ObjectStore, tenant: Tenant, announced: dict[str, Any], sent: bytes, status: int
) -> None:
    """Another size, another type or other bytes than announced: refused, and nothing of it stays."""
    form = (await ask(**announced)).json()
    assert await _send(form, sent) == 204
    assert (await complete(form["media_id"])).status_code == status
    assert not await objects.keys(f"{tenant.id}/")


@pytest.mark.parametrize("declared", ["image/heic", "application/octet-stream", "", "a" * 4000])
async def test_a_form_of_a_wrong_type_brings_what_it_brings(ask: Any, complete: Any, declared: str) -> None:
    """What arrived is known by its first bytes, whatever was asked for."""
    form = (await ask(content_type=declared, file_size=len(files.png()))).json()
    assert await _send(form, files.png()) == 204
    medium = (await complete(form["media_id"])).json()
    assert (medium["content_type"], medium["declared_type"], medium["width"]) == ("image/png", declared[:255], 64)


async def test_completing_before_the_file_came_is_409(ask: Any, complete: Any) -> None:
    """The answer says that the file is not there yet; sent then, it completes."""
    form = (await ask(content_type="image/png", file_size=len(files.png()))).json()
    assert (await complete(form["media_id"])).status_code == 409
    await _send(form, files.png())
    assert (await complete(form["media_id"])).status_code == 201


async def test_only_what_was_asked_for_can_be_completed(
    ask: Any, complete: Any, client: httpx.AsyncClient, visit: str, other_tenant: Tenant
) -> None:
    """An unknown id is 404, and so is another tenant's."""
    assert (await complete(files.new_id())).status_code == 404
    form = (await ask(content_type="image/png", file_size=len(files.png()))).json()
    await _send(form, files.png())
    url = f"/v1/visits/{visit}/media/{form['media_id']}/complete"
    assert (await client.post(url, headers=other_tenant.headers)).status_code == 404


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({"content_type": "image/png", "file_size": 0}, 422),
        ({"content_type": "image/png", "file_size": 104_857_601}, 422),
        ({"content_type": "text/html", "file_size": 10}, 201),
        ({"content_type": "image/png"}, 422),
        ({"content_type": "image/png", "file_size": 10, "key": "../../x"}, 422),
    ],
)
async def test_a_form_is_only_for_files_we_take(ask: Any, wish: dict[str, Any], status: int) -> None:
    """Size and type are held to the same limits as a direct upload."""
    assert (await ask(**wish)).status_code == status


async def test_two_tenants_may_ask_for_the_same_id(ask: Any, client: httpx.AsyncClient, other_tenant: Tenant) -> None:
    """One tenant's promise says nothing to another, and does not stand in his way."""
    media_id = files.new_id()
    wish = {"content_type": "image/png", "file_size": 10, "media_id": media_id}
    own = (await client.post("/v1/visits", json={}, headers=other_tenant.headers)).json()["id"]
    answers = [
        await ask(**wish),
        await client.post(f"/v1/visits/{own}/media/presign", json=wish, headers=other_tenant.headers),
        await ask(**wish),
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 201]


async def test_promised_bytes_count(ask: Any, tenant: Tenant, admin: Any, sweep: Any) -> None:
    """Of ten forms asked for at once, as many are given as there is room for; a swept form counts no more."""
    await allow(admin, tenant, 3500)
    answers = await asyncio.gather(*(ask(content_type="image/png", file_size=1000) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [413] * 7
    await sweep()
    assert (await ask(content_type="image/png", file_size=1000)).status_code == 201


async def test_a_form_used_after_its_completion_counts_and_goes(
    ask: Any, complete: Any, objects: ObjectStore, tenant: Tenant, admin: Any, sweep: Any
) -> None:
    """The store takes it again; its room stays taken, it makes no second medium, and the sweep deletes it."""
    body = files.png()
    await allow(admin, tenant, 2 * len(body))
    form = (await ask(content_type="image/png", file_size=len(body))).json()
    await _send(form, body)
    assert (await complete(form["media_id"])).status_code == 201
    assert await _send(form, body) == 204
    assert (await ask(content_type="image/png", file_size=1)).status_code == 413
    await sweep(expired="30 minutes")  # over, and its bytes may still be arriving
    assert len(await objects.keys(f"{tenant.id}/")) == 2
    await sweep()
    assert len(await objects.keys(f"{tenant.id}/")) == 1
    assert (await ask(content_type="image/png", file_size=1)).status_code == 201


async def test_a_removed_medium_does_not_come_back_by_its_form(
    ask: Any, complete: Any, client: httpx.AsyncClient, tenant: Tenant
) -> None:
    """One form makes one medium: completing it once more, after new bytes came, is 404."""
    body = files.png()
    form = (await ask(content_type="image/png", file_size=len(body))).json()
    await _send(form, body)
    assert (await complete(form["media_id"])).status_code == 201
    assert (await client.delete(f"/v1/media/{form['media_id']}", headers=tenant.headers)).status_code == 204
    assert await _send(form, body) == 204
    assert (await complete(form["media_id"])).status_code == 404


async def test_forms_of_one_id_make_one_object(
    ask: Any, complete: Any, objects: ObjectStore, tenant: Tenant, admin: Any
) -> None:
    """They share a key, and keep the room of the largest; the newest says what must come."""
    large, small = files.png(640, 480), files.png(64, 48)
    await allow(admin, tenant, len(large) + 10)
    media_id = str(uuid4())
    forms = []
    for body in (large, small, small):
        answer = await ask(content_type="image/png", file_size=len(body), media_id=media_id)
        assert answer.status_code == 201
        forms.append(answer.json())
    assert (await ask(content_type="image/png", file_size=100)).status_code == 413
    for form in forms:
        assert await _send(form, small) == 204
    assert len(await objects.keys(f"{tenant.id}/")) == 1
    assert (await complete(media_id)).status_code == 201

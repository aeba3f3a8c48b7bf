"""Objects without rows, rows without objects, and what tells them apart from uploads under way."""

import json
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from jobs.kinds.maintenance import MEDIA_CLEANUP
from store.media.cleanup import Cleanup, Report
from store.objects.objects import ObjectStore
from store.objects.spool import Spool
from store.pool import Database
from tests.gateway.uploads.conftest import Upload
from tests.gateway.uploads.files import files
from tests.gateway.uploads.tus.tus import Tus
from tests.stack import Services
from tests.tenants import Tenant


@pytest.fixture
async def left(
    upload: Upload,
    client: httpx.AsyncClient,
    tenant: Tenant,
    visit: str,
    objects: ObjectStore,
) -> dict[str, Any]:
    """Leave behind what crashes leave: an orphan, parts of one, a row whose object is gone; and good things beside."""
    good = (await upload(files.jpeg(), "image/jpeg")).json()["id"]
    assert (await client.get(f"/v1/media/{good}/content?size=thumb", headers=tenant.headers)).status_code == 302
    lost = (await upload(files.png(), "image/png")).json()["id"]
    (gone,) = await objects.keys(f"{tenant.id}/{visit}/{lost}/")
    await objects.delete(gone)
    tus = Tus(client, tenant.headers, visit)
    under_way = await tus.begin(1000)
    assert (await tus.patch(under_way, 0, files.jpeg()[:700])).status_code == 204
    orphan = f"{tenant.id}/{visit}/{files.new_id()}/0123456789ab"
    await objects.put(orphan, b"x", content_type="image/png")
    multipart_id = await objects.multipart.begin(f"{orphan}2", content_type="image/png")
    with closing(Spool()) as spool:
        spool.fill(memoryview(b"part"))
        await objects.multipart.send(f"{orphan}2", multipart_id, 1, spool)
    return {"good": good, "lost": lost, "orphan": orphan, "parts": f"{orphan}2", "under_way": under_way, "tus": tus}


def _of(report: Report, tenant: Tenant, left: dict[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """Pick out what concerns this test's tenant; other tests leave things too."""
    mine = f"{tenant.id}/"
    orphans, parts = ([key for key in keys if key.startswith(mine)] for keys in (report.orphans, report.parts))
    return orphans, parts, [str(media_id) for media_id in report.lost if str(media_id) == left["lost"]]


async def test_a_dry_run_tells_everything_and_changes_nothing(
    service: Database, objects: ObjectStore, tenant: Tenant, left: dict[str, Any]
) -> None:
    """What it names is what a real run then mends."""
    before = await objects.keys(f"{tenant.id}/")
    report = await Cleanup(service, objects, timedelta(0), dry_run=True).run()
    assert _of(report, tenant, left) == ([left["orphan"]], [left["parts"]], [left["lost"]])
    assert await objects.keys(f"{tenant.id}/") == before
    assert await objects.unfinished(f"{tenant.id}/")


async def test_orphans_go_and_lost_media_say_so(
    service: Database, objects: ObjectStore, tenant: Tenant, client: httpx.AsyncClient, left: dict[str, Any]
) -> None:
    """Media, their derivatives and uploads under way stay; a second run finds nothing."""
    await Cleanup(service, objects, timedelta(0)).run()
    keys = await objects.keys(f"{tenant.id}/")
    assert left["orphan"] not in keys
    assert len(keys) == 3
    assert not await objects.unfinished(f"{tenant.id}/")
    lost = (await client.get(f"/v1/media/{left['lost']}", headers=tenant.headers)).json()
    assert (lost["status"], lost["problem"]) == (
        "needs_attention",
        "The file is not in the store any more. Send it again.",
    )
    tus = left["tus"]
    assert (await tus.patch(left["under_way"], 700, files.jpeg()[700:1000])).status_code == 204
    again = await Cleanup(service, objects, timedelta(0)).run()
    assert _of(again, tenant, left) == ([], [], [])


async def test_a_recording_nobody_finishes_goes_after_a_month(
    service: Database, objects: ObjectStore, tenant: Tenant, client: httpx.AsyncClient, visit: str, admin: Any
) -> None:
    """One that still got a chunk is kept whole, however old its first one is."""
    for recording_id in (forgotten := files.new_id(), files.new_id()):
        for sequence in (1, 2):
            answer = await client.post(
                f"/v1/visits/{visit}/recordings/{recording_id}/chunks",
                content=files.recording("webm", 1.0),
                headers=tenant.headers | {"content-type": "audio/webm", "x-sequence": str(sequence)},
            )
            assert answer.status_code == 201
    await admin.execute(
        "UPDATE recording_chunks SET created_at = now() - interval '31 days' "
        "WHERE tenant_id = $1 AND (sequence = 1 OR recording_id = $2)",
        *(tenant.id, UUID(forgotten)),
    )
    assert (await Cleanup(service, objects, dry_run=True).run()).expired >= 1
    await Cleanup(service, objects).run()
    kept = await admin.fetch("SELECT recording_id FROM recording_chunks WHERE tenant_id = $1", tenant.id)
    assert len(kept) == 2
    assert UUID(forgotten) not in {row["recording_id"] for row in kept}


async def test_a_logo_is_no_orphan(
    service: Database, objects: ObjectStore, tenant: Tenant, client: httpx.AsyncClient
) -> None:
    """It is no medium and lies in the tenant's folder all the same; the one it replaced would go."""
    headers = tenant.headers | {"content-type": "image/png"}
    assert (await client.put("/v1/branding/logo", content=files.png(), headers=headers)).status_code == 200
    (logo,) = await objects.keys(f"{tenant.id}/brand/")
    left_over = f"{tenant.id}/brand/0123456789ab"
    await objects.put(left_over, b"x", content_type="image/jpeg")
    report = await Cleanup(service, objects, timedelta(0)).run()
    assert left_over in report.orphans
    assert list(await objects.keys(f"{tenant.id}/brand/")) == [logo]


async def test_what_is_young_is_kept(
    service: Database, objects: ObjectStore, tenant: Tenant, left: dict[str, Any]
) -> None:
    """An orphan has 30 days, in which a restored backup may name it again."""
    report = await Cleanup(service, objects).run()
    assert _of(report, tenant, left)[:2] == ([], [])
    assert left["orphan"] in await objects.keys(f"{tenant.id}/")


async def test_an_upload_nobody_goes_on_with_is_dropped(
    service: Database, objects: ObjectStore, tenant: Tenant, left: dict[str, Any], admin: Any
) -> None:
    """Its row is forgotten, and its bytes are orphans from then on."""
    await admin.execute(
        "UPDATE resumable_uploads SET expires_at = now() - interval '2 days' WHERE tenant_id = $1", tenant.id
    )
    await Cleanup(service, objects, timedelta(0)).run()
    assert (await left["tus"].request("HEAD", left["under_way"])).status_code == 404
    assert len(await objects.keys(f"{tenant.id}/")) == 2


async def test_a_stranger_to_this_database_keeps_its_objects(service: Database, objects: ObjectStore) -> None:
    """With the wrong database nothing is an orphan."""
    key = f"{files.new_id()}/{files.new_id()}/{files.new_id()}/0123456789ab"
    await objects.put(key, b"x", content_type="image/png")
    assert key not in (await Cleanup(service, objects, timedelta(0)).run()).orphans
    assert await objects.head(key)


def test_an_operator_can_ask_first(services: Services, left: dict[str, Any]) -> None:
    """`scopekit cleanup --dry-run --json` names what would go."""
    command = [sys.executable, "-m", "gateway", "cleanup", "--dry-run", "--json", "--days", "0"]
    done = subprocess.run(command, env=services.environment(), capture_output=True, text=True, timeout=60, check=True)
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["dry_run"] is True
    assert left["orphan"] in report["orphans"]


def test_it_runs_on_sundays_at_three() -> None:
    """Its ticks are whole weeks from a Sunday, 03:00 UTC."""
    assert MEDIA_CLEANUP.every == timedelta(weeks=1)
    assert f"{MEDIA_CLEANUP.since:%A %H:%M:%S %Z}" == "Sunday 03:00:00 UTC"

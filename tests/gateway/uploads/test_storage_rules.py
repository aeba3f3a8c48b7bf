from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from config.settings import Settings
from devstack.stack import Endpoints
from store.objects.content import ALL_TYPES, TYPES, UNKNOWN
from store.objects.objects import MEDIA_BYTES, ObjectStore
from store.objects.spool import PART_BYTES
from store.pool import Database, use_json
from store.schema.migrate import migrate
from tests.gateway.uploads.files import files
from tests.tenants import Tenant

_SUPABASE = """
CREATE SCHEMA storage;
CREATE TABLE storage.buckets (
    id text PRIMARY KEY, name text, public boolean, file_size_limit bigint, allowed_mime_types text[]);
CREATE TABLE storage.objects (bucket_id text REFERENCES storage.buckets, name text);
DO $$ BEGIN IF to_regrole('authenticated') IS NULL THEN CREATE ROLE authenticated NOLOGIN; END IF; END $$;
GRANT USAGE ON SCHEMA storage TO authenticated;
GRANT SELECT, INSERT, UPDATE, DELETE ON storage.objects TO authenticated;
"""


@pytest.fixture
async def supabase(stack: Endpoints) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Migrate a database that has Supabase's storage tables; connect as its owner."""
    name = f"supabase_{uuid4().hex[:12]}"
    server = await asyncpg.connect(stack.admin_url)
    await server.execute(f"CREATE DATABASE {name}")
    url = stack.admin_url.rsplit("/", 1)[0] + f"/{name}"
    connection = await asyncpg.connect(url)
    await use_json(connection)
    await connection.execute(_SUPABASE)
    await migrate(url)
    yield connection
    await connection.close()
    await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await server.close()


async def _as_tenant(connection: Any, claims: dict[str, Any], sql: str, *arguments: Any) -> Any:
    async with connection.transaction():
        await connection.execute("SELECT set_config('request.jwt.claims', $1::jsonb #>> '{}', true)", claims)
        await connection.execute("SET LOCAL ROLE authenticated")
        return await connection.fetchval(sql, *arguments)


async def test_supabase_gets_a_private_bucket_with_our_limits(
    supabase: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    """The bucket is the runbook's, and takes its nine types; the one beside it takes all others."""
    bucket, originals = await supabase.fetch("SELECT * FROM storage.buckets ORDER BY id")
    assert (bucket["id"], bucket["public"], bucket["file_size_limit"]) == ("site-visits", False, MEDIA_BYTES)
    assert set(bucket["allowed_mime_types"]) == set(TYPES)
    assert (originals["id"], originals["public"]) == ("site-visits-originals", False)
    assert originals["file_size_limit"] == MEDIA_BYTES
    assert set(originals["allowed_mime_types"]) == {*ALL_TYPES, UNKNOWN.name} - set(TYPES)


async def test_supabase_objects_belong_to_the_tenant_of_their_path(
    supabase: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    """A tenant adds and reads below its own prefix only, and replaces or deletes nothing."""
    own, other = uuid4(), uuid4()
    users = {role: uuid4() for role in ("member", "viewer")}
    await supabase.execute("INSERT INTO tenants (id, name) VALUES ($1, 'Own')", own)
    for role, user in users.items():
        await supabase.execute("INSERT INTO memberships VALUES ($1, $2, $3)", own, user, role)
    claims, viewer = ({"sub": str(user), "app_metadata": {"tenant_id": str(own)}} for user in users.values())
    add = "INSERT INTO storage.objects VALUES ('site-visits', $1)"
    await _as_tenant(supabase, claims, add, f"{own}/visit/photo")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _as_tenant(supabase, claims, add, f"{other}/visit/photo")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _as_tenant(supabase, {}, add, "null/visit/photo")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await _as_tenant(supabase, viewer, add, f"{own}/visit/photo2")
    await supabase.execute(add, f"{other}/visit/photo")
    count = "SELECT count(*) FROM storage.objects"
    assert await _as_tenant(supabase, claims, count) == 1
    assert await _as_tenant(supabase, viewer, count) == 1
    assert await _as_tenant(supabase, {}, count) == 0
    gone = "WITH gone AS (DELETE FROM storage.objects RETURNING 1) SELECT count(*) FROM gone"
    assert await _as_tenant(supabase, claims, gone) == 0


async def test_a_row_points_nowhere_but_below_itself(db: Database, tenant: Tenant, visit: str) -> None:
    """The table refuses a path of another medium, visit or tenant, and one that climbs."""
    media_id = uuid4()
    base = f"{tenant.id}/{visit}/{media_id}"
    for path in (f"{uuid4()}/{visit}/{media_id}/a", f"{base}/../x", f"{base}/a/b", f"{base}x", "roof.jpg"):
        with pytest.raises(asyncpg.CheckViolationError):
            async with db.as_user(tenant.claims) as conn:
                await conn.execute(
                    "INSERT INTO site_visit_media (id, tenant_id, visit_id, media_type, content_type, storage_path, "
                    "file_size, sha256) VALUES ($1, $2, $3, 'photo', 'image/png', $4, 1, repeat('0', 64))",
                    *(media_id, tenant.id, visit, path),
                )


@pytest.mark.parametrize("size", [1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES])
async def test_every_size_is_stored_whole(objects: ObjectStore, tenant: Tenant, size: int) -> None:
    """One part, just over one, several: what comes back is what went in, counted and hashed."""
    key = f"{tenant.id}/{size}"
    stored = await objects.put_stream(key, files.padded(b"\xff", size), content_type="image/jpeg")
    assert stored.size == size
    read = await objects.digest(key)
    assert (read.size, read.sha256) == (stored.size, stored.sha256)
    info = await objects.head(key)
    assert info is not None
    assert (info.size, info.content_type) == (size, "image/jpeg")


async def test_the_bucket_is_made_once(settings: Settings) -> None:
    """Starting twice is harmless."""
    async with ObjectStore.open(settings) as store:
        await store.ensure_bucket()
        await store.ensure_bucket()
        await store.ping()

"""What a company has stored is the sum of its media, whatever happens to them, many at once."""

import asyncio
import random
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.stack import Services
from tests.tenants import Admin, Tenant

_STORE = (
    "INSERT INTO site_visit_media (id, tenant_id, visit_id, media_type, content_type, storage_path, file_size, sha256) "
    "SELECT id, $1::uuid, $2::uuid, 'photo', 'image/jpeg', $1::uuid || '/' || $2::uuid || '/' || id, "
    "1000 + row_number() OVER (), repeat('a', 64) FROM unnest($3::uuid[]) id"
)
_TOTAL = "SELECT coalesce((SELECT bytes FROM tenant_storage WHERE tenant_id = $1), 0)"
_SUM = (
    "SELECT coalesce(sum(file_size + coalesce(original_size, 0)), 0)::bigint FROM site_visit_media WHERE tenant_id = $1"
)


async def _visit(admin: Admin, tenant: Tenant) -> UUID:
    found: UUID = await admin.fetchval("INSERT INTO site_visits (tenant_id) VALUES ($1) RETURNING id", tenant.id)
    return found


async def _agree(admin: Admin, *tenants: Tenant) -> list[int]:
    totals = [await admin.fetchval(_TOTAL, tenant.id) for tenant in tenants]
    assert totals == [await admin.fetchval(_SUM, tenant.id) for tenant in tenants]
    return totals


async def test_the_count_follows_every_change(admin: Admin, tenant: Tenant, other_tenant: Tenant) -> None:
    """Stored, turned into another type, deleted, gone with the visit, and undone."""
    visit, other = await _visit(admin, tenant), await _visit(admin, other_tenant)
    media = [uuid4() for _ in range(3)]
    await admin.execute(_STORE, tenant.id, visit, media)
    await admin.execute(_STORE, other_tenant.id, other, [uuid4()])
    assert await _agree(admin, tenant, other_tenant) == [3006, 1001]
    original = "original_path = storage_path || '/original', original_type = 'image/heic', original_size = 500, "
    await admin.execute(f"UPDATE site_visit_media SET {original} original_sha256 = sha256 WHERE id = $1", media[0])
    assert await _agree(admin, tenant, other_tenant) == [3506, 1001]
    transaction = admin.transaction()
    await transaction.start()
    await admin.execute("DELETE FROM site_visit_media WHERE id = $1", media[1])
    assert await _agree(admin, tenant) == [2504]
    await transaction.rollback()
    assert await _agree(admin, tenant) == [3506]
    await admin.execute("DELETE FROM site_visits WHERE id = $1", visit)
    assert await _agree(admin, tenant, other_tenant) == [0, 1001]


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_count_holds_while_many_store_and_delete(
    admin: Admin, services: Services, tenant: Tenant, other_tenant: Tenant, seed: int
) -> None:
    """Sessions store and delete media and visits of two companies, some of them undone; none waits for ever."""

    async def work(number: int) -> None:
        chance = random.Random(seed * 100 + number)
        own = await asyncpg.connect(services.admin_url)
        try:
            for _ in range(15):
                whose = chance.choice([tenant, other_tenant])
                visit = await _visit(own, whose)
                media = [uuid4() for _ in range(chance.randrange(1, 4))]
                transaction = own.transaction()
                await transaction.start()
                await own.execute(_STORE, whose.id, visit, media)
                await own.execute("DELETE FROM site_visit_media WHERE id = $1", media[0])
                await (transaction.rollback() if chance.random() < 0.3 else transaction.commit())
                if chance.random() < 0.3:
                    await own.execute("DELETE FROM site_visits WHERE id = $1", visit)
        finally:
            await own.close()

    async with asyncio.timeout(60):
        await asyncio.gather(*(work(number) for number in range(6)))
    assert sum(await _agree(admin, tenant, other_tenant)) > 0

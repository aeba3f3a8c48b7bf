"""One row of one tenant in every table, so that a test can walk them all."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID, uuid4

from tests.tenants import Tenant

if TYPE_CHECKING:
    import asyncpg

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_HASH = "0" * 64


async def fill_every_table(admin: Admin, tenant: Tenant) -> UUID:
    """Insert the rows as the owner of the schema and return the visit they hang on."""
    visit, media, estimate, share, job = (uuid4() for _ in range(5))
    async with admin.transaction():
        await _insert(admin, "site_visits", id=visit, tenant_id=tenant.id, title="Roof")
        await _insert(
            admin,
            "site_visit_media",
            id=media,
            tenant_id=tenant.id,
            visit_id=visit,
            media_type="audio",
            content_type="audio/webm",
            storage_path=f"{tenant.id}/{visit}/{media}",
            file_size=1,
            sha256=_HASH,
        )
        of_visit = {"tenant_id": tenant.id, "visit_id": visit}
        spoken = {"text": "two outlets", "duration_ms": 900, "engine": "local", "model": "base"}
        await _insert(admin, "transcripts", media_id=media, **of_visit, **spoken)
        await _insert(admin, "ai_jobs", id=job, job_type="estimate", **of_visit)
        await _insert(admin, "ai_jobs_dlq", original_job_id=uuid4(), job_type="estimate", attempts=3, **of_visit)
        await _insert(admin, "job_steps", job_id=job, step="gather", value={"a": 1}, **of_visit)
        spent = {"cost": Decimal("0.01"), "spent_at": await admin.fetchval("SELECT now()")}
        await _insert(admin, "cancelled_spending", job_id=uuid4(), step="look", item="", tenant_id=tenant.id, **spent)
        await _insert(admin, "processing_events", job_id=job, type="job.queued", **of_visit)
        await _insert(admin, "visit_sync_events", event="upload_failed", payload={"attempts": 5}, **of_visit)
        await _insert_idempotency_key(admin, tenant)
        await _insert(admin, "analytics_events", event="estimate_generated", tenant_id=tenant.id)
        await _insert_estimate(admin, estimate, of_visit)
        await _insert_share(admin, share, estimate, of_visit)
        expires = await admin.fetchval("SELECT now() + interval '1 hour'")
        await _insert(
            admin,
            "media_uploads",
            id=media,
            storage_path=f"{tenant.id}/{visit}/{media}/0123456789ab",
            content_type="audio/webm",
            file_size=1,
            room=1,
            expires_at=expires,
            **of_visit,
        )
        await _insert(
            admin,
            "resumable_uploads",
            media_id=media,
            storage_path=f"{tenant.id}/{visit}/{media}/0123456789ab",
            content_type="audio/webm",
            file_size=1,
            expires_at=expires,
            **of_visit,
        )
        await _insert(
            admin,
            "recording_chunks",
            recording_id=media,
            sequence=1,
            storage_path=f"{tenant.id}/{visit}/{media}/ba9876543210",
            content_type="audio/webm",
            file_size=1,
            sha256=_HASH,
            is_whole=True,
            **of_visit,
        )
        await _insert_people(admin, tenant)
        await _insert_webhook(admin, tenant)
        await _insert(admin, "discarded_recordings", recording_id=uuid4(), **of_visit)
        await _insert(
            admin,
            "progress_tickets",
            ticket_hash=uuid4().bytes * 2,
            claims={"sub": "x"},
            expires_at=expires,
            **of_visit,
        )
    return visit


async def _insert_idempotency_key(admin: Admin, tenant: Tenant) -> None:
    if await admin.fetchval("SELECT to_regclass('idempotency_keys') IS NULL"):  # the baseline alone
        return
    await _insert(
        admin,
        "idempotency_keys",
        tenant_id=tenant.id,
        user_id=tenant.user_id,
        key_hash=bytes(32),
        fingerprint=bytes(32),
        status=201,
        headers={},
        body=b"sealed",
    )


async def _insert_people(admin: Admin, tenant: Tenant) -> None:
    if await admin.fetchval("SELECT to_regclass('api_keys') IS NULL"):  # the baseline alone
        return
    key = await admin.fetchval("INSERT INTO users (name) VALUES ('key') RETURNING id")
    secret = {"secret_hash": uuid4().bytes * 2, "role": "viewer"}
    await _insert(admin, "api_keys", id=key, tenant_id=tenant.id, name="Export", **secret)
    await _insert(admin, "invitations", tenant_id=tenant.id, email=f"{tenant.id}@example.com", role="member")
    await _insert(admin, "people_audit", tenant_id=tenant.id, actor="test", action="invite")


async def _insert_webhook(admin: Admin, tenant: Tenant) -> None:
    if await admin.fetchval("SELECT to_regclass('webhook_endpoints') IS NULL"):  # the baseline alone
        return
    endpoint, message = uuid4(), uuid4()
    whose = {"tenant_id": tenant.id}
    types = ["visit.created"]
    await _insert(admin, "webhook_endpoints", id=endpoint, url="https://example.com/", event_types=types, **whose)
    await _insert(admin, "webhook_secrets", endpoint_id=endpoint, secret=bytes(32), **whose)
    await _insert(admin, "webhook_messages", id=message, type="visit.created", data={}, **whose)
    await _insert(admin, "webhook_deliveries", endpoint_id=endpoint, message_id=message, **whose)


async def _insert_estimate(admin: Admin, estimate: UUID, of_visit: dict[str, Any]) -> None:
    money = {"currency": "USD", "subtotal": 10, "tax_rate": 0, "tax": 0, "total": 10}
    counts = {"line_count": 1, "unpriced_count": 0, "content_hash": _HASH, "version": 1}
    await _insert(admin, "estimates", id=estimate, engine="local", model="rules", **money, **counts, **of_visit)
    await _insert(
        admin,
        "estimate_lines",
        tenant_id=of_visit["tenant_id"],
        estimate_id=estimate,
        position=1,
        description="Outlet",
        quantity=1,
        unit="each",
        unit_price=10,
        amount=10,
        needs_review=True,
    )


async def _insert_share(admin: Admin, share: UUID, estimate: UUID, of_visit: dict[str, Any]) -> None:
    expires = await admin.fetchval("SELECT now() + interval '1 hour'")
    tenant_id = of_visit["tenant_id"]
    token = {"token_hash": uuid4().bytes * 2}
    in_its_row = await admin.fetchval("SELECT to_regclass('share_tokens') IS NULL")  # the baseline alone
    of_share = {**of_visit, **(token if in_its_row else {})}
    await _insert(admin, "shares", id=share, estimate_id=estimate, expires_at=expires, **of_share)
    if not in_its_row:
        await _insert(admin, "share_tokens", share_id=share, tenant_id=tenant_id, **token)
    await _insert(
        admin,
        "share_views",
        tenant_id=tenant_id,
        share_id=share,
        session_hash=uuid4().bytes * 2,
        session_expires=expires,
    )
    await _insert(admin, "share_activity", tenant_id=tenant_id, share_id=share, kind="rotated")
    if not in_its_row:
        mail = {"kind": "estimate", "address": "maria@example.com"}
        await _insert(admin, "mails", tenant_id=tenant_id, visit_id=of_visit["visit_id"], share_id=share, **mail)
    if await admin.fetchval("SELECT to_regclass('share_questions') IS NOT NULL"):
        said = {"kind": "question", "body": "Is the gutter painted?"}
        await _insert(admin, "share_questions", tenant_id=tenant_id, share_id=share, **said)
    bound = {"estimate_id": estimate, "estimate_version": 1, "content_hash": _HASH}
    await _insert(admin, "share_decisions", share_id=share, tenant_id=tenant_id, decision="accepted", **bound)


async def _insert(admin: Admin, table: str, **values: Any) -> None:
    names = ", ".join(values)
    marks = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await admin.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", *values.values())

"""Brings bucket and tables together again: objects without a row go, rows without their object say so.

Crashes, lost answers and deleted visits leave behind bytes that cost nothing but space, so these are kept for 30
days: a database that is restored from last month's backup still finds its files. Run weekly, an orphan is gone after
37 days at the latest. Only keys under tenants of this database are touched: a wrong DATABASE_URL must not empty
a bucket.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from config.logging import get_logger
from store.media.media import keys_of
from store.objects.objects import ObjectStore, Unfinished
from store.pool import Database, Record
from store.queries import Queries

SQL = Queries("media/cleanup")

_log = get_logger(__name__)

RETENTION = timedelta(days=30)
# Parts cannot be looked at or restored; a resumable upload that is still good names its own.
PARTS_RETENTION = timedelta(days=1)
LOST = "The file is not in the store any more. Send it again."


@dataclass
class Report:
    """The faults found, and unless it was a dry run mended."""

    dry_run: bool
    orphans: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    lost: list[UUID] = field(default_factory=list)
    expired: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it with ids as text."""
        return asdict(self) | {"lost": [str(media_id) for media_id in self.lost]}

    def as_text(self) -> str:
        """Return it in a sentence, and each key or id on a line."""
        would = "would be " if self.dry_run else ""
        counts = f"{len(self.orphans)} objects and {len(self.parts)} unfinished uploads {would}deleted, "
        counts += f"{self.expired} expired uploads and recordings {would}forgotten, "
        head = f"{counts}{len(self.lost)} media {would}marked as lost"
        return "\n".join([head, *self.orphans, *self.parts, *map(str, self.lost)])


@dataclass(frozen=True)
class Cleanup:
    """One run. `db` acts as service_role."""

    db: Database
    objects: ObjectStore
    retention: timedelta = RETENTION
    dry_run: bool = False
    on_progress: Callable[[int, int], None] = lambda _done, _all: None

    async def run(self) -> Report:
        """Go through all tenants. A fault of one object or store call ends the run; the next one goes on."""
        report = Report(self.dry_run)
        async with self.db.as_system() as conn:
            tenants = [row["id"] for row in await conn.fetch(SQL.tenants_with_media)]
        for done, tenant_id in enumerate(tenants, 1):
            await self._tenant(tenant_id, report)
            self.on_progress(done, len(tenants))
        _log.info(
            "Media cleaned up",
            dry_run=self.dry_run,
            orphans=len(report.orphans),
            parts=len(report.parts),
            lost=len(report.lost),
            expired=report.expired,
        )
        return report

    async def _tenant(self, tenant_id: UUID, report: Report) -> None:
        report.expired += await self._forget_expired(tenant_id)
        # Objects first, rows after: an object whose row comes in between is known when it is judged.
        buckets = (self.objects, self.objects.originals)
        written = [await bucket.keys(f"{tenant_id}/") for bucket in buckets]
        begun = [await bucket.unfinished(f"{tenant_id}/") for bucket in buckets]
        async with self.db.as_system() as conn:
            rows = await conn.fetch(SQL.media_of_tenant, tenant_id)
            others = {row["key"] for row in await conn.fetch(SQL.other_keys, tenant_id)}
        known = others.union(*(keys_of(row) for row in rows))
        for bucket, keys, unfinished in zip(buckets, written, begun, strict=True):
            unknown = {key: at for key, at in keys.items() if key not in known}
            report.orphans += await self._drop_objects(bucket, unknown)
            report.parts += await self._drop_parts(bucket, [each for each in unfinished if each.key not in others])
        keys_of_all = written[0].keys() | written[1].keys()
        report.lost += await self._mark_lost([row for row in rows if row["storage_path"] not in keys_of_all])

    async def _drop_objects(self, bucket: ObjectStore, unknown: dict[str, datetime]) -> list[str]:
        orphans = [key for key, at in unknown.items() if datetime.now(UTC) - at >= self.retention]
        if not self.dry_run:
            await bucket.delete(*orphans)
        return orphans

    async def _drop_parts(self, bucket: ObjectStore, unknown: list[Unfinished]) -> list[str]:
        age = min(self.retention, PARTS_RETENTION)
        orphans = [each for each in unknown if datetime.now(UTC) - each.begun >= age]
        if not self.dry_run:
            for each in orphans:
                await bucket.multipart.abort(each.key, each.upload_id)
        return [each.key for each in orphans]

    async def _mark_lost(self, rows: list[Record]) -> list[UUID]:
        lost = []
        for row in rows:
            # Asked once more: it may have been stored since the listing.
            if row["status"] == "stored" and await self._is_lost(row):
                lost.append(row["id"])
                if not self.dry_run:
                    async with self.db.as_system() as conn:
                        await conn.execute(SQL.mark_lost, row["id"], row["storage_path"], LOST)
        return lost

    async def _is_lost(self, row: Record) -> bool:
        return await self.objects.holding(row["content_type"]).head(row["storage_path"]) is None

    async def _forget_expired(self, tenant_id: UUID) -> int:
        sql = SQL.expired_uploads if self.dry_run else SQL.forget_expired
        async with self.db.as_system() as conn:
            return int(await conn.fetchval(sql, tenant_id, min(self.retention, PARTS_RETENTION), self.retention))

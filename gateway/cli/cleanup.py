"""`scopekit cleanup`: deletes objects that no row names, and marks media whose file is gone."""

import asyncio
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import DryRun, Json, Yes, confirmed, environment, report_failures, say

if TYPE_CHECKING:
    from config.settings import Settings
    from store.media.cleanup import Report

RETENTION_DAYS = 30.0


def cleanup(
    *,
    dry_run: DryRun = False,
    days: Annotated[float, typer.Option(min=0, help="Keep orphans that are younger.")] = RETENTION_DAYS,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete objects that no row names, and mark media whose file is gone. Runs on Sundays at 03:00 UTC by itself."""
    if not dry_run and days < RETENTION_DAYS:
        question = f"What is older than {days:g} days goes for good; a backup of the database may still name it."
        confirmed(question, yes=yes)
    settings = environment()
    with report_failures("Not cleaned up"):
        report = asyncio.run(_clean(settings, timedelta(days=days), dry_run=dry_run))
    say(report.as_json(), report.as_text(), as_json=as_json)


async def _clean(settings: "Settings", retention: timedelta, *, dry_run: bool) -> "Report":
    from store.media.cleanup import Cleanup  # noqa: PLC0415 - the other commands start faster without it
    from store.objects.objects import ObjectStore  # noqa: PLC0415
    from store.pool import Database  # noqa: PLC0415

    db = await Database.open(settings.worker_url, name="cleanup", size=2, role="service_role")
    try:
        async with ObjectStore.open(settings) as objects:
            with typer.progressbar(length=0, label="tenants", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

                def show(done: int, every: int) -> None:
                    bar.length = every
                    bar.update(done - bar.pos)

                return await Cleanup(db, objects, retention, dry_run, show).run()
    finally:
        await db.close()

"""Whether a deploy has arrived: the schema is there, every process runs this code, and the gateway is ready."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import httpx

from config.release import release
from config.settings import Settings
from store.ops import presence
from store.pool import Database, Record
from store.schema.migrate import MigrationError, Standing, standing

ASK_SECONDS = 5.0


@dataclass(frozen=True)
class Check:
    """The findings of one look."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str


async def examine(settings: Settings, url: str) -> list[Check]:
    """Look at schema, processes and one gateway. Raises when the database does not answer."""
    looks = [await _schema(settings)]
    if looks[0].state != "fail":  # without the schema nobody can tell who lives
        live = await _live(settings)
        looks += [_processes("gateway", live), _processes("worker", live)]
    return [*looks, await _ready(url), await _health(url)]


async def _schema(settings: Settings) -> Check:
    try:
        found = await standing(settings.admin_url)
    except MigrationError as error:
        return Check("schema", "fail", str(error))
    return _judged(found)


def _judged(found: Standing) -> Check:
    if found.pending:
        names = ", ".join(f"{each.version:04}_{each.name}" for each in found.pending)
        return Check("schema", "fail", f"pending: {names}; run `scopekit migrate` first")
    if found.unknown:
        names = ", ".join(f"{version:04}" for version in found.unknown)
        return Check("schema", "warn", f"newer than this code ({names}), as after a rollback; the version before works")
    return Check("schema", "ok", "as this code expects it")


async def _live(settings: Settings) -> list[Record]:
    pooled = settings.database_pooled
    db = await Database.open(settings.worker_url, name="deploy", size=1, role="service_role", pooled=pooled)
    try:
        async with db.as_system() as conn:
            return await presence.live(conn)
    finally:
        await db.close()


def _processes(kind: presence.Kind, live: Iterable[Record]) -> Check:
    releases = {row["name"]: row["load"].get("release") for row in live if row["kind"] == kind}
    if not releases:
        return Check(f"{kind}s", "fail", "none is at work")
    if others := sorted(name for name, theirs in releases.items() if theirs != release()):
        return Check(f"{kind}s", "fail", f"of {len(releases)} these run other code; restart them: {', '.join(others)}")
    return Check(f"{kind}s", "ok", f"{len(releases)} run release {release()}")


async def _ready(url: str) -> Check:
    answer = await _ask(f"{url}/readyz")
    if answer is None:
        return Check("ready", "fail", f"{url} does not answer")
    return Check("ready", "ok" if answer.is_success else "fail", f"{url} answers {answer.status_code}")


async def _health(url: str) -> Check:
    """Tell the runbook's report; a long queue is no fault of a deploy."""
    answer, status = await _ask(f"{url}/health"), "no answer"
    with suppress(ValueError, AttributeError):
        status = str(answer.json()["status"]) if answer is not None else status
    states: dict[str, Literal["ok", "warn"]] = {"healthy": "ok", "degraded": "warn"}
    return Check("health", states.get(status, "fail"), status)


async def _ask(url: str) -> httpx.Response | None:
    try:
        async with httpx.AsyncClient(timeout=ASK_SECONDS) as client:
            return await client.get(url)
    except httpx.HTTPError:
        return None

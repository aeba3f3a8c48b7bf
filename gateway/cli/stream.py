"""`scopekit stream`: follow a visit in the terminal. Works by the database alone."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer

from gateway.cli.common import Json, environment, report_failures
from store.errors import NotFound, Unavailable
from store.events import events
from store.pool import Database

POLL_SECONDS = 0.5
AWAY_SECONDS = 1.0
# On its lines already, or of use to programs alone.
_NOT_SHOWN = ("correlation_id",)


def stream(
    visit: Annotated[UUID, typer.Argument(help="The visit's id, of any tenant.")],
    *,
    after: Annotated[int, typer.Option(min=0, help="The last seq that was seen; 0 shows everything.")] = 0,
    follow: Annotated[bool, typer.Option(help="Wait for more until the visit's stream ends.")] = True,
    as_json: Json = False,
) -> None:
    """Show a visit's events, a line each, until its stream ends. Waits while the database is away."""
    with report_failures("The events were not read"):
        asyncio.run(_show(visit, after, follow=follow, as_json=as_json))


async def _show(visit_id: UUID, after: int, *, follow: bool, as_json: bool) -> None:
    settings = environment()
    db = await Database.open(
        settings.worker_url, name="cli", size=1, role="service_role", pooled=settings.database_pooled
    )
    try:
        async for document in _events(db, visit_id, after, follow=follow):
            typer.echo(document if as_json else _line(orjson.loads(document)))
            sys.stdout.flush()
    finally:
        await db.close()


async def _events(db: Database, visit_id: UUID, position: int, *, follow: bool) -> AsyncIterator[str]:
    """Give the document of each event after `position`. Raises `NotFound` for a visit that is not there."""
    while True:
        try:
            async with db.as_system() as conn:
                # Before the page: what comes between the two is in the page.
                heads = await events.heads(conn, [visit_id])
                rows = await events.after(conn, visit_id, position)
        except Unavailable:
            if not follow:
                raise
            typer.echo("The database is away; waiting for it.", err=True)
            await asyncio.sleep(AWAY_SECONDS)
            continue
        if not heads:
            raise NotFound("There is no such visit.")
        for row in rows:
            position = row["seq"]
            yield row["document"]
        if position >= heads[0]["last_seq"] and (heads[0]["ended_by"] is not None or not follow):
            return
        if not rows:
            await asyncio.sleep(POLL_SECONDS)


def _line(event: dict[str, Any]) -> str:
    """Write an event on a line: the time in UTC, its seq, its type, and its payload."""
    payload = {name: value for name, value in event["payload"].items() if name not in _NOT_SHOWN}
    said = " ".join(f"{name}={_value(value)}" for name, value in payload.items())
    return f"{event['created_at'][11:23]}  #{event['seq']:<5} {event['type']:<15} {said}".rstrip()


def _value(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()

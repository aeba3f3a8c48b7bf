"""`scopekit queue`: pause and resume the queue, and see how it stands. Works by the database alone."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
import typer

from store import health, queue_control
from store.pool import Connection, Database

app = typer.Typer(no_args_is_help=True, help="Pause, resume and look at the queue.")

Json = Annotated[bool, typer.Option("--json", help="Print an object.")]
Name = Annotated[str, typer.Argument(help="A job type, `all`, or an engine's breaker such as `engine:openai`.")]


@app.command()
def pause(
    name: Name = queue_control.EVERYTHING,
    *,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks.")] = "",
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Resume by itself after so long.")] = None,
    as_json: Json = False,
) -> None:
    """Start no more jobs; what runs goes on."""
    until = None if minutes is None else datetime.now(UTC) + timedelta(minutes=minutes)
    _run(lambda conn: queue_control.pause(conn, name, reason, until))
    _say({"paused": name, "until": until}, f"paused {name}", as_json=as_json)


@app.command()
def resume(name: Name = queue_control.EVERYTHING, *, as_json: Json = False) -> None:
    """Start jobs again."""
    was_paused = _run(lambda conn: queue_control.resume(conn, name))
    text = f"resumed {name}" if was_paused else f"{name} was not paused"
    _say({"resumed": name, "was_paused": was_paused}, text, as_json=as_json)


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show how many jobs wait, run and are dead, what is paused, and the last hour's minutes."""
    found = _run(_status)
    lines = [f"{row['status']:<8} {row['depth']:>8}  oldest {row['oldest_seconds']:.0f} s" for row in found["jobs"]]
    lines += [f"{row['state']:<8} {row['name']} {row['reason']}".rstrip() for row in found["switches"]]
    if found["minutes"]:
        last = found["minutes"][-1]
        lines.append(f"{last['completed']} done in {last['minute']:%H:%M}, half of them in {last['p50_seconds']:.1f} s")
    _say(found, "\n".join(lines), as_json=as_json)


async def _status(conn: Connection) -> dict[str, Any]:
    return {
        "jobs": [dict(row) for row in await health.queue_depths(conn)],
        "switches": await queue_control.switches(conn),
        "minutes": [dict(row) for row in await health.queue_minutes(conn)],
    }


def _run(ask: Callable[[Connection], Awaitable[Any]]) -> Any:
    from gateway.cli import environment, lost_database  # noqa: PLC0415 - it imports us

    settings = environment()

    async def run() -> Any:
        db = await Database.open(
            settings.worker_url, name="cli", size=1, role="service_role", pooled=settings.database_pooled
        )
        try:
            async with db.as_system() as conn:
                return await ask(conn)
        finally:
            await db.close()

    with lost_database("The queue was not reached"):
        return asyncio.run(run())


def _say(found: dict[str, Any], text: str, *, as_json: bool) -> None:
    typer.echo(orjson.dumps(found).decode() if as_json else text)

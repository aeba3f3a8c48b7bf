"""`scopekit queue`: pause and resume the queue, and see how it stands. Works by the database alone."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from gateway.cli.common import DryRun, Json, Reason, as_operator, say
from store.ops import health
from store.pool import Connection
from store.queue import queue_control

app = typer.Typer(no_args_is_help=True, help="Pause, resume and look at the queue.")

_NOT_REACHED = "The queue was not reached"

Name = Annotated[str, typer.Argument(help="A job type, `all`, or an engine's breaker such as `engine:openai`.")]


@app.command()
def pause(
    name: Name = queue_control.EVERYTHING,
    *,
    reason: Reason = "",
    minutes: Annotated[float | None, typer.Option(min=0.01, help="Resume by itself after so long.")] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Start no more jobs; running ones go on."""
    until = None if minutes is None else datetime.now(UTC) + timedelta(minutes=minutes)
    if dry_run:
        say({"would_pause": name, "until": until}, f"would pause {name}", as_json=as_json)
        return
    as_operator(lambda conn: queue_control.pause(conn, name, reason, until), what=_NOT_REACHED)
    say({"paused": name, "until": until}, f"paused {name}", as_json=as_json)


@app.command()
def resume(name: Name = queue_control.EVERYTHING, *, reason: Reason = "", as_json: Json = False) -> None:
    """Start jobs again."""
    was_paused = as_operator(lambda conn: queue_control.resume(conn, name, reason), what=_NOT_REACHED)
    text = f"resumed {name}" if was_paused else f"{name} was not paused"
    say({"resumed": name, "was_paused": was_paused}, text, as_json=as_json)


@app.command()
def status(*, as_json: Json = False) -> None:
    """Show the numbers of waiting, running and dead jobs, the pauses, and the last hour's minutes."""
    found = as_operator(_status, what=_NOT_REACHED)
    lines = [f"{row['status']:<8} {row['depth']:>8}  oldest {row['oldest_seconds']:.0f} s" for row in found["jobs"]]
    lines += [f"{row['state']:<8} {row['name']} {row['reason']}".rstrip() for row in found["switches"]]
    if found["minutes"]:
        last = found["minutes"][-1]
        lines.append(f"{last['completed']} done in {last['minute']:%H:%M}, half of them in {last['p50_seconds']:.1f} s")
    say(found, "\n".join(lines), as_json=as_json)


async def _status(conn: Connection) -> dict[str, Any]:
    return {
        "jobs": [dict(row) for row in await health.queue_depths(conn)],
        "switches": await queue_control.switches(conn),
        "kinds": [dict(row) for row in await health.queue_kinds(conn)],
        "minutes": [dict(row) for row in await health.queue_minutes(conn)],
    }

"""`scopekit deploy` and `scopekit rollback`: whether a deploy has arrived, and the way back."""

import asyncio
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config.flags import Flag, flag_named
from gateway.cli.common import (
    DryRun,
    Exit,
    Json,
    Reason,
    Yes,
    as_operator,
    confirmed,
    environment,
    report_failures,
    say,
)
from store.pool import Connection
from store.queue import queue_control
from store.tenants import flags

if TYPE_CHECKING:
    from config.settings import Settings
    from gateway.ops.deployment import Check

app = typer.Typer(no_args_is_help=True, help="Look whether a deploy has arrived.")

LOOK_AGAIN_SECONDS = 1.0
_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}
_DOING, _UNDOING = "turn {} off for everybody and pause the queue", "turn {} on again and end the rollback's pause"
# How the reason of a rollback's own pause begins: what somebody else paused is not resumed.
_OURS = "rollback of {}: "
_DONE = """\
turned {} off for {} tenants; the queue is {}.
Now put the previous version in place and restart workers and gateways; its code runs on this schema.
Nothing was deleted. When it is mended: scopekit rollback --undo"""
_UNDONE = "turned {} on again for {} tenants; the queue is {}"


@app.callback()
def _deploy() -> None:
    """Keep `check` a command of its own, not the group itself."""


@app.command()
def check(
    *,
    url: Annotated[str | None, typer.Option(help="A gateway; else the one of HOST and PORT.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Look again for so many seconds until all is well.")] = 0,
    as_json: Json = False,
) -> None:
    """Tell whether the schema, every gateway and every worker are of this release, and the gateway is ready."""
    settings = environment()
    with report_failures("The deploy was not looked at"):
        looks = asyncio.run(_looks(settings, url or f"http://{settings.host}:{settings.port}", wait))
    arrived = not _has_failed(looks)
    lines = [f"{_MARKS[look.state]}  {look.name:<9} {look.found}" for look in looks]
    say({"arrived": arrived, "looks": [asdict(look) for look in looks]}, "\n".join(lines), as_json=as_json)
    if not arrived:
        raise typer.Exit(Exit.FAILED)


def rollback(
    *,
    flag: Annotated[str, typer.Option(help="The flag to turn off for everybody.")] = Flag.VISITS.value,
    undo: Annotated[bool, typer.Option("--undo", help="Turn on again what a rollback turned off.")] = False,
    reason: Reason = "rollback",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Turn a flag off for everybody, remembering the tenants that had it, and pause the queue; no data is touched."""
    with report_failures("No rollback"):
        wanted = flag_named(flag)
    action, doing, done = (_undone, _UNDOING, _UNDONE) if undo else (_done, _DOING, _DONE)
    would = doing.format(wanted)
    if dry_run:
        say({"would": would, "flag": wanted}, f"would {would}", as_json=as_json)
        return
    confirmed(f"{would.capitalize()}?", yes=yes)
    found = as_operator(lambda conn: action(conn, wanted, reason), what="Nothing was changed")
    say(found, done.format(wanted, found["tenants"], found["queue"]), as_json=as_json)


async def _done(conn: Connection, flag: Flag, reason: str) -> dict[str, Any]:
    """Do both in one transaction; steps done by a first try, or by somebody else, stay done."""
    killed = {row["name"]: row["kept"] for row in await flags.killed(conn)}
    tenants = killed[flag] if flag in killed else await flags.kill(conn, flag, reason)
    if await _why_paused(conn) is None:
        await queue_control.hold(conn, queue_control.EVERYTHING, f"{_OURS.format(flag)}{reason}")
    return {"flag": flag, "tenants": tenants, "queue": "paused"}


async def _undone(conn: Connection, flag: Flag, reason: str) -> dict[str, Any]:
    """Undo the steps of a rollback, and no pause of somebody else's. Raises `Conflict` where none was done."""
    tenants = await flags.restore(conn, flag, reason)
    why = await _why_paused(conn)
    is_paused = why is not None
    if why is not None and why.startswith(_OURS.format(flag)):
        is_paused = await queue_control.release(conn, queue_control.EVERYTHING, reason)
    return {"flag": flag, "tenants": tenants, "queue": "paused" if is_paused else "running"}


async def _why_paused(conn: Connection) -> str | None:
    """Return why everything is paused for good; one that ends by itself would not hold a rollback."""
    for switch in await queue_control.switches(conn):
        if switch["name"] == queue_control.EVERYTHING and switch["until"] is None:
            return str(switch["reason"])
    return None


async def _looks(settings: "Settings", url: str, wait: float) -> "list[Check]":
    from gateway.ops.deployment import examine  # noqa: PLC0415 - the other commands start faster without it

    until = time.monotonic() + wait
    while True:
        looks = await examine(settings, url)
        if not _has_failed(looks) or time.monotonic() >= until:
            return looks
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


def _has_failed(looks: "list[Check]") -> bool:
    return any(look.state == "fail" for look in looks)

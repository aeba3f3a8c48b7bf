"""`scopekit flags`: list the flags by tenant, with date and reason; turn on and off; kill and restore."""

from typing import Annotated, Any
from uuid import UUID

import typer

from config.flags import REGISTRY, Flag, flag_named, is_on, parse_value
from gateway.cli.common import (
    DryRun,
    Exit,
    Json,
    Reason,
    Yes,
    as_operator,
    confirmed,
    fail,
    report_failures,
    say,
    table,
)
from store.pool import Connection
from store.tenants import flags

app = typer.Typer(no_args_is_help=True, help="Look at and change the tenants' flags.")

MOST_TENANTS = 100_000
_NOT_REACHED = "The flags were not reached"

Name = Annotated[str, typer.Argument(help="The flag's dotted name.", autocompletion=lambda: [*Flag])]
OneTenant = Annotated[UUID | None, typer.Option("--tenant", help="This tenant.")]
AllTenants = Annotated[bool, typer.Option("--all-tenants", help="Every tenant there is.")]


@app.command("registry")
def registry(*, as_json: Json = False) -> None:
    """Show every flag: its type, its default, the role that may change it, and its effect."""
    rows = [
        {
            "name": flag.value,
            "type": definition.kind.__name__,
            "default": definition.default,
            "changed_by": definition.changed_by,
            "description": definition.description,
        }
        for flag, definition in REGISTRY.items()
    ]
    say(rows, table(rows, "name", "type", "default", "changed_by", "description"), as_json=as_json)


@app.command("list")
def list_(
    *,
    tenant: OneTenant = None,
    on: Annotated[str | None, typer.Option(help="Only tenants for which this flag is on.")] = None,
    as_json: Json = False,
) -> None:
    """Show the tenants' flags that are on, and those that are killed."""
    wanted = _flag(on) if on else None
    found = as_operator(_overview, what=_NOT_REACHED)
    rows = [
        row
        for row in found["tenants"]
        if (tenant is None or row["tenant_id"] == tenant) and (wanted is None or row[wanted.value])
    ]
    if tenant is not None and not rows and wanted is None:
        fail("There is no such tenant.", Exit.NOT_FOUND)
    text = table(rows, "tenant_id", "tenant", *Flag)
    for kill in found["killed"]:
        text += f"\n{kill['name']} is killed since {kill['killed_at']:%Y-%m-%d %H:%M} by {kill['actor']}: on again for"
        text += f" {kill['kept']} when restored. {kill['reason']}".rstrip()
    say({"tenants": rows, "killed": found["killed"]}, text, as_json=as_json)


@app.command("set")
def set_(
    name: Name,
    value: Annotated[str, typer.Argument(help="on or off.")],
    *,
    tenant: OneTenant = None,
    all_tenants: AllTenants = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Turn a flag on or off, for one tenant or with --all-tenants for every one; in force within a second."""
    flag, on = _flag(name), _value(name, value)
    if (tenant is None) is not all_tenants:
        fail("Say --tenant ID for one tenant, or --all-tenants for every one.")
    if tenant is not None:
        _set_one(flag, tenant, reason, on=on, dry_run=dry_run, as_json=as_json)
    else:
        _set_all(flag, reason, on=on, dry_run=dry_run, yes=yes, as_json=as_json)


@app.command()
def kill(name: Name, *, reason: Reason = "", dry_run: DryRun = False, yes: Yes = False, as_json: Json = False) -> None:
    """Turn a flag off for everybody, and remember the tenants that had it on."""
    flag = _flag(name)
    count = sum(row[flag.value] for row in as_operator(_overview, what=_NOT_REACHED)["tenants"])
    if dry_run:
        say({"would_kill": flag, "tenants": count}, f"would turn {flag} off for {count} tenants", as_json=as_json)
        return
    confirmed(f"Turn {flag} off for all tenants? It is on for {count}.", yes=yes)
    kept = as_operator(lambda conn: flags.kill(conn, flag, reason), what=_NOT_REACHED)
    text = f"killed {flag}: off for {kept} tenants, who are remembered until `scopekit flags restore {flag}`"
    say({"killed": flag, "tenants": kept}, text, as_json=as_json)


@app.command()
def restore(name: Name, *, reason: Reason = "", dry_run: DryRun = False, as_json: Json = False) -> None:
    """Turn a killed flag on again for exactly those it was on for."""
    flag = _flag(name)
    if dry_run:
        killed = as_operator(_overview, what=_NOT_REACHED)["killed"]
        count = next((kill["kept"] for kill in killed if kill["name"] == flag), 0)
        say({"would_restore": flag, "tenants": count}, f"would turn {flag} on for {count} tenants", as_json=as_json)
        return
    kept = as_operator(lambda conn: flags.restore(conn, flag, reason), what=_NOT_REACHED)
    say({"restored": flag, "tenants": kept}, f"restored {flag}: on again for {kept} tenants", as_json=as_json)


@app.command()
def history(
    *,
    tenant: OneTenant = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """Show the audit log of flags: person, time, old value, new value and reason."""
    found = as_operator(lambda conn: flags.history(conn, tenant, limit), what=_NOT_REACHED)
    rows = [dict(row) for row in found]
    say(rows, table(rows, "changed_at", "tenant", "name", "before", "after", "actor", "reason"), as_json=as_json)


def _set_one(flag: Flag, tenant: UUID, reason: str, *, on: bool, dry_run: bool, as_json: bool) -> None:
    word = "on" if on else "off"
    if dry_run:
        say({"would_set": flag, "tenant_id": tenant, "to": on}, f"would turn {flag} {word}", as_json=as_json)
        return
    now = as_operator(lambda conn: flags.set_flag(conn, tenant, flag, reason, on=on), what=_NOT_REACHED)
    text = f"{flag} is {word}" if now is on else f"{flag} is killed: off now, and on once it is restored"
    say({"flag": flag, "tenant_id": tenant, "asked": on, "now": now}, text, as_json=as_json)


def _set_all(flag: Flag, reason: str, *, on: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    word = "on" if on else "off"
    rows = as_operator(_overview, what=_NOT_REACHED)["tenants"]
    count = sum(row[flag.value] is not on for row in rows)
    if dry_run:
        say({"would_set": flag, "to": on, "tenants": count}, f"would turn {flag} {word} for {count}", as_json=as_json)
        return
    confirmed(f"Turn {flag} {word} for all {len(rows)} tenants? That changes {count}.", yes=yes)
    changed = as_operator(lambda conn: flags.set_everywhere(conn, flag, reason, on=on), what=_NOT_REACHED)
    say({"flag": flag, "to": on, "changed": changed}, f"turned {flag} {word} for {changed} tenants", as_json=as_json)


async def _overview(conn: Connection) -> dict[str, Any]:
    tenants = [
        {"tenant_id": row["tenant_id"], "tenant": row["tenant"]}
        | {flag.value: is_on(row["flags"], flag) for flag in Flag}
        for row in await flags.by_tenant(conn, MOST_TENANTS)
    ]
    return {"tenants": tenants, "killed": [dict(row) for row in await flags.killed(conn)]}


def _flag(name: str) -> Flag:
    with report_failures("No flag"):
        return flag_named(name)


def _value(name: str, value: str) -> bool:
    with report_failures("No value"):
        return parse_value(_flag(name), value)

"""`scopekit secrets rotate`: exchange a secret while the product runs; old and new both hold in between.

begin writes the new value into SECRETS_FILE and keeps the old one accepted; restart gateways and workers, one after
the other; tell every other holder of the secret; finish, after 24 h, drops the old one; restart again. No value is
printed or logged: only fingerprints are shown.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from config import rotation
from config.rotation import OVERLAP, SECRETS, Secret, secret_named
from config.secrets_file import read_secrets, write_secrets
from config.secrets_in_use import values_of
from gateway.cli.common import (
    DryRun,
    Exit,
    Json,
    Reason,
    Yes,
    as_operator,
    confirmed,
    environment,
    fail,
    report_failures,
    say,
)
from store.errors import Conflict, NotFound
from store.ops import presence, secret_rotations
from store.pool import Connection

app = typer.Typer(no_args_is_help=True, help="Exchange secrets while the product runs.")
rotate = typer.Typer(no_args_is_help=True, help="Exchange a secret: begin, status, finish.")
app.add_typer(rotate, name="rotate")

_NOT_DONE = "The rotation was not touched"

Name = Annotated[str, typer.Argument(help="Which secret.", autocompletion=lambda: list(SECRETS))]


@rotate.command()
def begin(
    name: Name,
    *,
    from_stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the new value from stdin, one variable a line.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put a new value in force and keep the old one accepted; made here, or for a provider's key asked for or read."""
    from gateway.ops.provider_keys import require_working  # noqa: PLC0415 - the other commands start in a third less time

    secret, path = _secret(name), _file()
    with report_failures(_NOT_DONE):
        values = values_of(environment())
        new = _new_value(secret, from_stdin=from_stdin)
        changed = rotation.begun(values, secret, new)
    if dry_run:
        say({"would_begin": name}, f"would put a new value of {name} into {path}", as_json=as_json)
        return
    confirmed(f"A new value of {name} will be written to {path}.", yes=yes)
    with report_failures(_NOT_DONE):
        require_working(environment(), secret, new)
    own = {variable: changed[variable] for variable in secret.all_variables if variable in changed}
    old_print = "".join(rotation.fingerprints(values, secret)[:1])
    new_print = rotation.fingerprints(changed, secret)[0]

    async def note(conn: Connection) -> None:
        if others := _behind(secret, old_print, await presence.live(conn)):
            raise Conflict(f"{others} have another value than this environment: run this where they get theirs.")
        await secret_rotations.begin(conn, name, old=old_print, new=new_print, reason=reason)
        write_secrets(path, read_secrets(path) | own)  # last: a failure here takes the note back

    as_operator(note, what=_NOT_DONE)
    text = f"began {name}: {new_print} in force, the old one still accepted.\nNow restart gateways and workers, then "
    text += f"whoever else holds it; `scopekit secrets rotate finish {name}` in 24 h."
    say({"begun": name, "new": new_print}, text, as_json=as_json)


@rotate.command()
def status(*, as_json: Json = False) -> None:
    """Show how each secret stands, and which processes do not have it yet."""
    found = as_operator(_standing, what="The rotations were not reached")
    lines = []
    for row in found:
        lines.append(f"{row['name']:<20} {row['state']:<9} {row['says']}")
        lines += [f"{'':<30} restart {each}" for each in row["behind"]]
    say(found, "\n".join(lines), as_json=as_json)


@rotate.command()
def finish(
    name: Name,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Do not wait for 24 h, nor for processes that are behind.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Drop the old value, 24 h after the new one came and once every process has that."""
    secret, path = _secret(name), _file()
    if not dry_run:
        confirmed(f"The old value of {name} will not be accepted any more.", yes=yes)

    async def close(conn: Connection) -> str:
        row = await secret_rotations.hold_open(conn, name)
        if row is None:
            raise NotFound(f"No rotation of `{name}` is open.")
        values = read_secrets(path)
        if rotation.fingerprints(values, secret)[:1] != [row["new_print"]]:
            raise Conflict(f"{path} does not hold the value that was begun with; mend it, or begin again.")
        if not force:
            _require_time(row["age"])
            if behind := _behind(secret, row["new_print"], await presence.live(conn)):
                raise Conflict(f"{behind} still use the old value: restart them first, or say --force.")
        if not dry_run:
            await secret_rotations.finish(conn, row, reason)
            write_secrets(path, rotation.finished(values, secret))
        return str(row["old_print"])

    old = as_operator(close, what=_NOT_DONE)
    if dry_run:
        say({"would_finish": name, "old": old}, f"would drop {old}", as_json=as_json)
        return
    then = "Now restart gateways and workers: until then they accept it."
    if not secret.is_made_here:
        then = "Now revoke it at its provider."
    say({"finished": name, "old": old}, f"finished {name}: {old} is dropped. {then}", as_json=as_json)


async def _standing(conn: Connection) -> list[dict[str, Any]]:
    processes = await presence.live(conn)
    rotations = {row["name"]: row for row in await secret_rotations.newest(conn)}
    values = values_of(environment())
    return [_stand(secret, rotations.get(secret.name), values, processes) for secret in SECRETS.values()]


def _stand(secret: Secret, row: Any, values: dict[str, str], processes: list[Any]) -> dict[str, Any]:
    """Say where a secret stands: `behind` are the processes whose keys differ from the configured ones."""
    prints = rotation.fingerprints(values, secret)
    behind = [each["name"] for each in processes if (each["keys"].get(secret.name) or prints) != prints]
    state, says = "steady", f"in force {', '.join(prints) or 'not set'}; {secret.what}"
    if row is not None and row["finished_at"] is None:
        left = OVERLAP - row["age"]
        when = f"may finish in {left.total_seconds() / 3600:.1f} h" if left.total_seconds() > 0 else "may finish"
        state, says = (
            "rotating",
            f"{row['old_print']} -> {row['new_print']} since {row['begun_at']:%Y-%m-%d %H:%M}; {when}",
        )
    elif row is not None:
        says += f"; last rotated {row['finished_at']:%Y-%m-%d}"
    return {"name": secret.name, "state": state, "in_force": prints, "behind": behind, "says": says}


def _require_time(age: Any) -> None:
    if age < OVERLAP:
        left = (OVERLAP - age).total_seconds() / 3600
        raise Conflict(f"Too early: whoever holds the old value has {left:.1f} h left. Come back then, or say --force.")


def _behind(secret: Secret, wanted: str, processes: list[Any]) -> str:
    """Name the processes that use another value than the one of this fingerprint; one without the secret uses none."""
    behind = [each["name"] for each in processes if (each["keys"].get(secret.name) or [wanted])[:1] != [wanted]]
    return ", ".join(behind)


def _secret(name: str) -> Secret:
    try:
        return secret_named(name)
    except rotation.RotationError as error:
        fail(str(error), Exit.USAGE)


def _file() -> Path:
    path = environment().secrets_file
    if path is None:
        fail(
            "SECRETS_FILE is not set: name a file there that this command may write and every process reads.",
            Exit.CONFIG,
        )
    return path


def _new_value(secret: Secret, *, from_stdin: bool) -> tuple[str, ...]:
    if from_stdin:
        return tuple(line.strip() for line in sys.stdin.read().splitlines() if line.strip())
    if secret.is_made_here:
        return (rotation.new_value(),)
    return tuple(typer.prompt(f"New {name}", hide_input=True, err=True) for name in secret.variables)

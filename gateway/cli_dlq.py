"""`scopekit dlq`: the dead jobs; queue them again, or let them go."""

from typing import Annotated, Any
from uuid import UUID

import typer

from gateway.cli_frame import DryRun, Exit, Json, Reason, Yes, as_operator, confirmed, fail, say, table, with_bar
from store import dead_letters
from store.pool import Connection

app = typer.Typer(no_args_is_help=True, help="Look at dead jobs, queue them again, let them go.")

MOST = 10_000
_NOT_REACHED = "The dead letters were not reached"

Letter = Annotated[UUID | None, typer.Argument(help="The dead letter's id, as `dlq list` shows it.")]
All = Annotated[bool, typer.Option("--all", help="Every dead letter that waits.")]
Code = Annotated[str | None, typer.Option("--code", help="Of all, only those with this error code.")]


@app.command("list")
def list_(
    *,
    by_cause: Annotated[bool, typer.Option("--by-cause", help="How many died of what.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """Show who is dead, and of what."""
    found = as_operator(
        dead_letters.causes if by_cause else lambda conn: dead_letters.newest(conn, limit), what=_NOT_REACHED
    )
    rows = [dict(row) for row in found]
    columns = ("letters", "tenants", "job_type", "error_code", "cause", "newest")
    if not by_cause:
        columns = ("id", "moved_at", "tenant", "job_type", "error_code", "last_error")
    say(rows, table(rows, *columns), as_json=as_json)


@app.command()
def retry(
    letter: Letter = None,
    *,
    every: All = False,
    code: Code = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Queue a dead job again, once, under its own id and with no attempt spent."""
    _do("retried", dead_letters.retry, _wanted(letter, code, every=every), reason, dry_run, yes, as_json)


@app.command()
def discard(
    letter: Letter = None,
    *,
    every: All = False,
    code: Code = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let a dead job be dead: it waits for nobody any more; its row stays."""
    _do("discarded", dead_letters.discard, _wanted(letter, code, every=every), reason, dry_run, yes, as_json)


def _wanted(letter: UUID | None, code: str | None, *, every: bool) -> list[UUID]:
    if (letter is None) is not every:
        fail("Name one dead letter, or say --all.")
    rows = as_operator(lambda conn: dead_letters.newest(conn, MOST), what=_NOT_REACHED)
    if letter is not None:
        if not any(row["id"] == letter for row in rows):
            fail("There is no such dead letter waiting.", Exit.NOT_FOUND)
        return [letter]
    return [row["id"] for row in rows if code is None or row["error_code"] == code]


def _do(
    word: str,
    deed: dead_letters.Deed,
    letters: list[UUID],
    reason: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Do it to each, one that cannot be done keeping no other back."""
    if dry_run:
        say({f"would_be_{word}": letters}, f"{len(letters)} would be {word}", as_json=as_json)
        return
    if len(letters) > 1 or deed is dead_letters.discard:
        confirmed(f"{len(letters)} dead jobs will be {word}.", yes=yes)
    done, kept = as_operator(lambda conn: _each(conn, deed, letters, reason, word), what=_NOT_REACHED)
    lines = [f"{len(done)} {word}", *(f"{each['id']}: {each['why']}" for each in kept)]
    say({word: done, "kept": kept}, "\n".join(lines), as_json=as_json)
    if kept:
        raise typer.Exit(Exit.REFUSED)


async def _each(
    conn: Connection, deed: dead_letters.Deed, letters: list[UUID], reason: str, word: str
) -> tuple[list[UUID], list[dict[str, Any]]]:
    done, kept = [], []
    for letter in with_bar(letters, len(letters), word):
        why = await dead_letters.attempt(conn, deed, letter, reason)
        if why is None:
            done.append(letter)
        else:
            kept.append({"id": letter, "why": why})
    return done, kept

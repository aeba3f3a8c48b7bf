"""`scopekit dlq`: the dead jobs; queue them again, or let them go."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated
from uuid import UUID

import typer

from gateway.cli.common import DryRun, Exit, Json, Reason, Yes, as_operator, confirmed, fail, say, table, with_bar
from store.pool import Connection
from store.queue import dead_letters
from store.queue.dead_letters import Attempt, Kind

app = typer.Typer(no_args_is_help=True, help="Look at dead jobs, queue them again, let them go.")

MOST = 10_000
_NOT_REACHED = "The dead letters were not reached"

Letter = Annotated[UUID | None, typer.Argument(help="The dead letter's id, as `dlq list` shows it.")]
All = Annotated[bool, typer.Option("--all", help="Every dead letter that waits.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Of all, no more than so many, the oldest first.")]
Code = Annotated[str | None, typer.Option("--code", help="Of all, only those with this error code.")]


@app.command("list")
def list_(
    *,
    by_cause: Annotated[bool, typer.Option("--by-cause", help="How many died of what.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List the dead jobs and their causes."""
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
    limit: Limit = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Queue a dead job again, once, under its own id and with no attempt spent."""
    wanted = _Wanted(letter, code, limit, every=every)
    _do("retried", dead_letters.retry, wanted, reason, dry_run, yes, as_json)


@app.command()
def discard(
    letter: Letter = None,
    *,
    every: All = False,
    code: Code = None,
    limit: Limit = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let a dead job be dead: it waits for nobody any more; its row stays."""
    wanted = _Wanted(letter, code, limit, every=every)
    _do("discarded", dead_letters.discard, wanted, reason, dry_run, yes, as_json)


class _Wanted:
    """Which letters are meant: one by its id, or all of a code up to a limit, the oldest first."""

    def __init__(self, letter: UUID | None, code: str | None, limit: int | None, *, every: bool) -> None:
        if (letter is None) is not every:
            fail("Name one dead letter, or say --all.")
        self._letter = letter
        self._kind = Kind(error_code=code)
        self._limit = limit

    async def count(self, conn: Connection) -> int:
        """Return how many wait now. Raises `NotFound` where the one that was named does not."""
        if self._letter is not None:
            await dead_letters.require_waiting(conn, self._letter)
            return 1
        causes = await dead_letters.causes(conn)
        waiting: int = sum(row["letters"] for row in causes if self._kind.error_code in (None, row["error_code"]))
        return waiting if self._limit is None else min(waiting, self._limit)

    def attempts(self, action: dead_letters.Action, number: int, reason: str) -> Iterator[Attempt]:
        """Do it, a transaction a batch; those that die meanwhile are beyond `number`, and wait for the next time."""
        after, tried = None, 0
        while tried < number:
            what = f"{_NOT_REACHED}, {tried} of {number} apart" if tried else _NOT_REACHED
            batch = as_operator(partial(self._attempted, action, reason, after, number - tried), what=what)
            if not batch:
                return
            yield from batch
            after, tried = batch[-1].letter_id, tried + len(batch)

    async def _attempted(
        self, action: dead_letters.Action, reason: str, after: UUID | None, limit: int, conn: Connection
    ) -> list[Attempt]:
        if self._letter is not None:
            return [await dead_letters.attempt_one(conn, action, self._letter, reason)]
        return await dead_letters.attempt_batch(conn, action, self._kind, reason, after=after, limit=limit)


def _do(
    word: str, action: dead_letters.Action, wanted: _Wanted, reason: str, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Do it to each, one that cannot be done keeping no other back."""
    number = as_operator(wanted.count, what=_NOT_REACHED)
    if dry_run:
        say({f"would_be_{word}": number}, f"{number} would be {word}", as_json=as_json)
        return
    if number > 1 or action is dead_letters.discard:
        confirmed(f"{number} dead jobs will be {word}.", yes=yes)
    attempts = [*with_bar(wanted.attempts(action, number, reason), number, word)]
    done = [each.letter_id for each in attempts if each.why_kept is None]
    kept = [{"id": each.letter_id, "why": each.why_kept} for each in attempts if each.why_kept is not None]
    lines = [f"{len(done)} {word}", *(f"{each['id']}: {each['why']}" for each in kept)]
    say({word: done, "kept": kept}, "\n".join(lines), as_json=as_json)
    if kept:
        raise typer.Exit(Exit.REFUSED)

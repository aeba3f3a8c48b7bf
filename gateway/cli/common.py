"""Shared by the commands: their exit codes, their output, and their way to the database.

Exit codes: 0 done; 1 something is wrong, or did not answer; 2 called wrongly; 3 there is no such thing; 4 refused: not
confirmed, too early, or in conflict with how things stand; 78 the environment is not configured (sysexits.h).
"""

import asyncio
import getpass
import socket
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from typing import Annotated, Any, NoReturn, TypeVar

import orjson
import typer
from asyncpg import InterfaceError, PostgresError

from config.flags import FlagError
from config.rotation import RotationError
from config.secrets_file import SecretsFileError
from config.settings import Settings, SettingsError, load_settings, local_env_file
from store.errors import Conflict, InvalidInput, NotFound, SpineError
from store.pool import Connection, Database, WrongRole

Answer = TypeVar("Answer")
Item = TypeVar("Item")


class Exit(IntEnum):
    """A command's exit codes; the module's docstring explains each."""

    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    CONFIG = 78


# The first class of an error's ancestry that stands here gives the code.
ENDINGS: dict[type[BaseException], Exit] = {
    FlagError: Exit.USAGE,
    RotationError: Exit.REFUSED,
    SecretsFileError: Exit.CONFIG,
    WrongRole: Exit.CONFIG,
    NotFound: Exit.NOT_FOUND,
    InvalidInput: Exit.USAGE,
    Conflict: Exit.REFUSED,
    SpineError: Exit.FAILED,
    OSError: Exit.FAILED,  # no server, or too late
    PostgresError: Exit.FAILED,
    InterfaceError: Exit.FAILED,
}

Json = Annotated[bool, typer.Option("--json", help="Print an object.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")]
Reason = Annotated[str, typer.Option(help="Why, for whoever looks later.")]


def environment() -> Settings:
    """Read the settings, or end with a sentence that says which are missing."""
    try:
        return load_settings(_env_file=local_env_file())
    except SettingsError as error:
        hint = "" if local_env_file() else "\nFor a local stack, start `make run` first."
        fail(f"{error}{hint}", Exit.CONFIG)


def fail(message: str, code: Exit = Exit.USAGE) -> NoReturn:
    """End with a line for the person at the terminal."""
    typer.echo(message, err=True)
    sys.exit(code)


@contextmanager
def report_failures(what: str) -> Iterator[None]:
    """End with one line, and no trace, on an expected error; `what` names the step that did not happen."""
    try:
        yield
    except tuple(ENDINGS) as error:
        code = next(ENDINGS[kind] for kind in type(error).__mro__ if kind in ENDINGS)
        said = str(error) or type(error).__name__
        fail(said if code in (Exit.USAGE, Exit.NOT_FOUND, Exit.REFUSED) else f"{what}: {said}", code)


def as_operator(ask: Callable[[Connection], Awaitable[Answer]], *, what: str) -> Answer:
    """Act on the database as an operator, in one transaction; the audit log names this person."""
    settings = environment()

    async def run() -> Answer:
        db = await Database.open(
            settings.worker_url, name="cli", size=1, role="service_role", pooled=settings.database_pooled
        )
        try:
            async with db.as_system() as conn:
                await conn.execute("SELECT set_config('scopekit.actor', $1, true)", _person())
                return await ask(conn)
        finally:
            await db.close()

    with report_failures(what):
        return asyncio.run(run())


def say(found: Any, text: str, *, as_json: bool) -> None:
    """Answer: an object for programs, or words."""
    typer.echo(orjson.dumps(found, default=str).decode() if as_json else text)


def confirmed(question: str, *, yes: bool) -> None:
    """Go on when the person says so, or has said `--yes`; else end with nothing changed."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} Nothing was changed: add --yes to go on.", Exit.REFUSED)
    if not typer.confirm(question, err=True):
        fail("Nothing was changed.", Exit.REFUSED)


def with_bar(items: Iterable[Item], length: int, label: str) -> Iterator[Item]:
    """Go through `items` under a bar, which is drawn on a terminal only."""
    with typer.progressbar(items, length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        yield from bar


def table(rows: Iterable[Mapping[str, Any]], *columns: str) -> str:
    """Set rows in columns under their names; said when there are none."""
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    if not cells:
        return "none"
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    lines = [columns, *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value)


def _person() -> str:
    try:
        return f"cli {getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):  # a container's user may have no name
        return f"cli @{socket.gethostname()}"

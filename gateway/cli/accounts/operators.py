"""`scopekit operators`: the users with operators' rights."""

from typing import Annotated
from uuid import UUID

import typer

from gateway.cli.common import DryRun, Exit, Json, Reason, as_operator, fail, say, table
from store.errors import NotFound
from store.ops import operators
from store.people import emails, people
from store.pool import Connection

_NOT_DONE = "Nothing was changed"
User = Annotated[str, typer.Argument(help="An e-mail address, or a user's id: `sub` of their token.")]

app = typer.Typer(no_args_is_help=True, help="Grant and withdraw access to /ops.")


@app.callback()
def _group() -> None:
    """Grant and withdraw access to /ops."""


@app.command()
def add(
    user: User,
    *,
    name: Annotated[str, typer.Option(help="A name to know them by.")] = "",
    reason: Reason = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a user an operator of the whole product. Needs the database alone: neither mail nor queue."""
    if dry_run:
        say({"would_add": user}, f"would add {user}", as_json=as_json)
        return

    async def ask(conn: Connection) -> tuple[UUID, bool]:
        user_id = await _user_id(conn, user, make=True)
        return user_id, await operators.add(conn, user_id, name or user, reason)

    user_id, added = as_operator(ask, what=_NOT_DONE)
    text = f"added {user}" if added else f"{user} is one already"
    say({"operator": user_id, "added": added}, text, as_json=as_json)


@app.command("list")
def list_(*, as_json: Json = False) -> None:
    """List the operators."""
    rows = as_operator(operators.all_of_them, what="The operators were not read")
    found = [dict(row) for row in rows]
    say({"operators": found}, table(found, "user_id", "name", "granted_by", "created_at"), as_json=as_json)


@app.command()
def remove(user: User, *, reason: Reason = "", dry_run: DryRun = False, as_json: Json = False) -> None:
    """Withdraw a user's access; open pages of theirs end within a second."""
    if dry_run:
        say({"would_remove": user}, f"would remove {user}", as_json=as_json)
        return

    async def ask(conn: Connection) -> tuple[UUID, bool]:
        user_id = await _user_id(conn, user, make=False)
        return user_id, await operators.remove(conn, user_id, reason)

    user_id, removed = as_operator(ask, what=_NOT_DONE)
    if not removed:
        fail("This user is no operator.", Exit.NOT_FOUND)
    say({"operator": user_id, "removed": True}, f"removed {user}", as_json=as_json)


async def _user_id(conn: Connection, user: str, *, make: bool) -> UUID:
    """Return the id of a user by id or address; with `make`, an address without an account gets one."""
    try:
        return UUID(user)
    except ValueError:
        pass
    found = await people.user_of_email(conn, emails.normal(user), make=make)
    if found is None:
        raise NotFound("There is no account with this address.")
    return found

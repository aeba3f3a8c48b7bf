"""`scopekit operators`: the users with operators' rights."""

from typing import Annotated
from uuid import UUID

import typer

from gateway.cli.common import DryRun, Exit, Json, Reason, as_operator, fail, say, table
from store.ops import operators

_NOT_DONE = "Nothing was changed"
User = Annotated[UUID, typer.Argument(help="The user's id: `sub` of their token.")]

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
    added = as_operator(lambda conn: operators.add(conn, user, name, reason), what=_NOT_DONE)
    say({"operator": user, "added": added}, f"added {user}" if added else f"{user} is one already", as_json=as_json)


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
    if not as_operator(lambda conn: operators.remove(conn, user, reason), what=_NOT_DONE):
        fail("This user is no operator.", Exit.NOT_FOUND)
    say({"operator": user, "removed": True}, f"removed {user}", as_json=as_json)

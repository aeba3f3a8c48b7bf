"""`scopekit share`: end a link that must not be opened any more."""

from typing import Annotated
from uuid import UUID

import typer

from gateway.cli.common import DryRun, Exit, Json, Reason, Yes, as_operator, confirmed, fail, say
from store.shares import shares

app = typer.Typer(no_args_is_help=True, help="End customers' links.")


@app.callback()
def _group() -> None:
    """End customers' links."""


@app.command()
def revoke(
    share: Annotated[UUID, typer.Argument(help="The share's id, as the console's address or a log line has it.")],
    *,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """End a customer's link, of any tenant; a reader loses the page within seconds."""
    if dry_run:
        say({"would_revoke": share}, f"would revoke {share}", as_json=as_json)
        return
    confirmed(f"Share {share} will be dead for good.", yes=yes)
    found = as_operator(lambda conn: shares.revoke_as_operator(conn, share, reason), what="The share was not reached")
    if not found:
        fail("There is no such share.", Exit.NOT_FOUND)
    say({"revoked": share}, f"revoked {share}", as_json=as_json)

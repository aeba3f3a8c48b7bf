"""`scopekit webhooks`: endpoints of companies, from the command line."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from gateway.cli.common import Json, as_operator, fail, say, table
from store.pool import Connection
from store.webhooks import administration

Endpoint = Annotated[UUID, typer.Argument(help="The endpoint's id, as `scopekit webhooks list` has it.")]
NOT_DONE = "Nothing was queued"

app = typer.Typer(no_args_is_help=True, help="List webhook endpoints, test them, deliver events again.")


@app.callback()
def _group() -> None:
    """List webhook endpoints, test them, deliver events again."""


@app.command("list")
def list_(
    *, company: Annotated[UUID | None, typer.Option(help="Of this company alone.")] = None, as_json: Json = False
) -> None:
    """List endpoints with their state, and how many deliveries are pending and failed."""

    async def ask(conn: Connection) -> list[dict[str, Any]]:
        return [dict(row) for row in await administration.listed(conn, company)]

    found = as_operator(ask, what="Not listed")
    shown = table(found, "id", "company", "url", "status", "reason", "failing_since", "pending", "failed")
    say({"webhook_endpoints": found}, shown, as_json=as_json)


@app.command("test")
def send_test(endpoint: Endpoint, *, as_json: Json = False) -> None:
    """Send a test event to an endpoint."""

    async def ask(conn: Connection) -> UUID:
        return await administration.send_test(conn, endpoint)

    delivery = as_operator(ask, what=NOT_DONE)
    say({"delivery_id": delivery}, f"queued delivery {delivery}", as_json=as_json)


@app.command()
def redeliver(
    endpoint: Endpoint,
    *,
    delivery: Annotated[UUID | None, typer.Option(help="This delivery, whatever became of it.")] = None,
    since: Annotated[datetime | None, typer.Option(help="All failed ones since this time, in UTC.")] = None,
    as_json: Json = False,
) -> None:
    """Deliver one event again, or all failed ones since a time, under the same ids."""
    if (delivery is None) == (since is None):
        fail("Say either --delivery or --since.")

    async def ask(conn: Connection) -> int:
        start = None if since is None else since.replace(tzinfo=since.tzinfo or UTC)
        return await administration.redeliver(conn, endpoint, delivery=delivery, since=start)

    count = as_operator(ask, what=NOT_DONE)
    say({"queued": count}, f"queued {count}", as_json=as_json)

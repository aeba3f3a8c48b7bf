"""`scopekit people`: a company's people, from the command line."""

from typing import Annotated, Any
from uuid import UUID

import typer

from gateway.cli.accounts.company import NOT_DONE, mail, offer, summary
from gateway.cli.common import DryRun, Json, Yes, as_operator, confirmed, environment, fail, report_failures, say, table
from store.accounts.memberships import ROLES, Role
from store.errors import NotFound
from store.people import emails, people
from store.pool import Connection

Company = Annotated[UUID, typer.Option(help="The company's id, as `scopekit company list` has it.")]
Address = Annotated[str, typer.Argument(help="The person's e-mail address.")]
AsRole = Annotated[str, typer.Argument(help=f"One of {', '.join(ROLES)}.")]

app = typer.Typer(no_args_is_help=True, help="Invite people into a company, list, change and remove them.")


@app.callback()
def _group() -> None:
    """Invite people into a company, list, change and remove them."""


@app.command()
def invite(
    email: Address,
    *,
    company: Company,
    role: Annotated[str, typer.Option(help=f"One of {', '.join(ROLES)}.")] = "member",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Invite a person; the link is printed, and mailed where MAIL_URL is set."""
    settings, as_role, address = environment(), _role(role), _normal(email)
    if dry_run:
        say({"would_invite": address, "role": as_role}, f"would invite {address}", as_json=as_json)
        return

    async def ask(conn: Connection) -> dict[str, Any]:
        found = next((row for row in await people.companies(conn) if row["id"] == company), None)
        if found is None:
            raise NotFound("There is no such company.")
        return {"name": found["name"], "is_test": found["is_test"]} | await offer(
            conn, settings, company, address, as_role
        )

    made = as_operator(ask, what=NOT_DONE)
    name, is_test = made.pop("name"), made.pop("is_test")
    made["mailed"] = not is_test and mail(settings, made, company=name)
    say(made, summary(made), as_json=as_json)


@app.command("list")
def list_(*, company: Company, as_json: Json = False) -> None:
    """List a company's people and its open invitations."""

    async def ask(conn: Connection) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        members = [dict(row) for row in await people.people_of(conn, company)]
        return members, [dict(row) for row in await people.invitations_of(conn, company)]

    members, invited = as_operator(ask, what="The people were not read")
    text = table(members, "email", "name", "role", "last_seen_at")
    if invited:
        text += "\n\ninvited\n" + table(invited, "email", "role", "expires_at")
    say({"people": members, "invitations": invited}, text, as_json=as_json)


@app.command()
def role(email: Address, role: AsRole, *, company: Company, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Give a person another role; it holds within a second."""
    address, as_role = _normal(email), _role(role)
    if dry_run:
        say({"would_change": address, "role": as_role}, f"would make {address} {as_role}", as_json=as_json)
        return
    as_operator(lambda conn: people.change_person(conn, company, address, as_role), what=NOT_DONE)
    say({"person": address, "role": as_role}, f"{address} is {as_role}", as_json=as_json)


@app.command()
def remove(
    email: Address, *, company: Company, dry_run: DryRun = False, yes: Yes = False, as_json: Json = False
) -> None:
    """Remove a person; their sessions and streams in this company end within a second."""
    address = _normal(email)
    if dry_run:
        say({"would_remove": address}, f"would remove {address}", as_json=as_json)
        return
    confirmed(f"{address} loses access to company {company}.", yes=yes)
    as_operator(lambda conn: people.change_person(conn, company, address, None), what=NOT_DONE)
    say({"removed": address}, f"removed {address}", as_json=as_json)


def _role(text: str) -> Role:
    if text not in ROLES:
        fail(f"There is no role `{text}`. There are: {', '.join(ROLES)}.")
    return text


def _normal(text: str) -> str:
    with report_failures(NOT_DONE):
        return emails.normal(text)

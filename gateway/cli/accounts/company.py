"""`scopekit company`: make companies, and rename, list and close them."""

import asyncio
import hashlib
import secrets
from typing import Annotated, Any
from uuid import UUID

import typer

from config.flags import nested
from config.settings import Settings
from gateway.cli.common import DryRun, Json, Yes, as_operator, confirmed, environment, report_failures, say, table
from store.accounts.memberships import Role
from store.errors import Unavailable
from store.mail import messages, smtp
from store.people import emails, people
from store.pool import Connection

NOT_DONE = "Nothing was changed"
Company = Annotated[UUID, typer.Argument(help="The company's id, as `scopekit company list` has it.")]
Name = Annotated[str, typer.Argument(help="Its name.")]

app = typer.Typer(no_args_is_help=True, help="Make, list, rename and close companies.")


@app.callback()
def _group() -> None:
    """Make, list, rename and close companies."""


@app.command()
def create(
    name: Name,
    *,
    owner: Annotated[str, typer.Option(help="The owner's e-mail address.")],
    test: Annotated[bool, typer.Option("--test", help="Make a company for tests: none of its mails leave.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make a company, and print and mail the invitation of its owner."""
    settings = environment()
    with report_failures(NOT_DONE):
        email = emails.normal(owner)
    if dry_run:
        say({"would_create": name, "owner": email}, f"would create {name} for {email}", as_json=as_json)
        return

    async def make(conn: Connection) -> dict[str, Any]:
        company = await people.create_company(conn, name, nested(settings.company_flags), is_test=test)
        return {"company": company} | await offer(conn, settings, company, email, "owner")

    made = as_operator(make, what=NOT_DONE)
    made["mailed"] = not test and mail(settings, made, company=name)
    say(made, f"made {name} ({made['company']})\n{summary(made)}", as_json=as_json)


@app.command("list")
def list_(*, as_json: Json = False) -> None:
    """List the companies."""
    found = [dict(row) for row in as_operator(people.companies, what="The companies were not read")]
    say({"companies": found}, table(found, "id", "name", "people", "is_test", "created_at"), as_json=as_json)


@app.command()
def rename(company: Company, name: Name, *, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Give a company another name."""
    if dry_run:
        say({"would_rename": company, "name": name}, f"would rename {company}", as_json=as_json)
        return
    as_operator(lambda conn: people.rename_company(conn, company, name), what=NOT_DONE)
    say({"company": company, "name": name}, f"renamed {company}", as_json=as_json)


@app.command()
def close(company: Company, *, dry_run: DryRun = False, yes: Yes = False, as_json: Json = False) -> None:
    """Close a company: its people, sessions and API keys are out at once; its visits stay until it is deleted."""
    if dry_run:
        say({"would_close": company}, f"would close {company}", as_json=as_json)
        return
    confirmed(f"Everybody of company {company} loses access.", yes=yes)
    left = as_operator(lambda conn: people.close_company(conn, company), what=NOT_DONE)
    say({"closed": company, "members": left}, f"closed {company}; {left} members are out", as_json=as_json)


async def offer(conn: Connection, settings: Settings, company: UUID, email: str, role: Role) -> dict[str, Any]:
    """Invite an address; returns {invited, role, link}, whose link is not kept anywhere. Raises `Conflict`."""
    token = secrets.token_urlsafe(32)
    await people.offer(conn, company, email, role, hashlib.sha256(token.encode()).digest())
    return {"invited": email, "role": role, "link": f"{settings.app_origin}/join/{token}"}


def mail(settings: Settings, made: dict[str, Any], *, company: str) -> bool:
    """Mail an invitation where a mail server is set; False where none is, or it did not take it."""
    if settings.mail_url is None:
        return False
    words = messages.invitation(made["invited"], company=company, role=made["role"], inviter="", link=made["link"])
    try:
        asyncio.run(smtp.send(settings, words))
    except Unavailable as error:
        typer.echo(f"{error.detail} Hand the link over yourself.", err=True)
        return False
    return True


def summary(made: dict[str, Any]) -> str:
    """Word an invitation for a person."""
    how = "mailed to" if made["mailed"] else "not mailed; hand this over to"
    return f"invited {made['invited']} as {made['role']}, {how} {made['invited']}:\n{made['link']}"

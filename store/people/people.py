"""The people of a company: members, invitations and the audit log. The company is the request's own."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from store.accounts.memberships import Role
from store.errors import Conflict, Forbidden, NotFound
from store.pool import Connection, Record
from store.queries import Queries

SQL = Queries("people/people")

LAST_OWNER = "A company keeps an owner: make somebody else an owner first."
_NOT_YOURS = "Admins and owners manage people; what concerns an owner, owners alone."


async def people(conn: Connection) -> list[Record]:
    """Return (user_id, email, name, role, since, last_seen_at) of each person; none but to admins."""
    return await conn.fetch(SQL.people)


async def page(conn: Connection, limit: int, after: tuple[datetime, UUID] | None = None) -> list[Record]:
    """Return a page of what `people` returns, in the order in which they came, behind a person's time and id."""
    return await conn.fetch(SQL.page, limit, *(after or (None, None)))


async def invitations(conn: Connection) -> list[Record]:
    """Return (id, email, role, created_at, expires_at) of each open invitation; none but to admins."""
    return await conn.fetch(SQL.invitations)


async def invite(conn: Connection, email: str, role: Role) -> UUID:
    """Invite an address, again where it is invited already, and queue the mail.

    Raises `Conflict` for a member, and `Forbidden` unless an admin asks, or for an owner an owner.
    """
    found: UUID | None = await conn.fetchval(SQL.invite, email, role)
    if found is None:
        if not await conn.fetchval(SQL.has_role, "owner" if role == "owner" else "admin"):
            raise Forbidden(_NOT_YOURS)
        raise Conflict("This person belongs to the company already.")
    return found


async def withdraw(conn: Connection, invitation_id: UUID) -> None:
    """Withdraw an open invitation. Raises `NotFound`."""
    if not await conn.fetchval(SQL.withdraw, invitation_id):
        raise NotFound("There is no such invitation, or it was accepted or withdrawn.")


async def change(conn: Connection, user_id: UUID, role: Role | None) -> None:
    """Give a person another role, or with None remove them.

    Raises `NotFound`, `Conflict` for the last owner, and `Forbidden` as `invite` does; everybody may leave.
    """
    _require_done(await conn.fetchval(SQL.change, user_id, role))


async def change_company(conn: Connection, name: str, currency: str, tax_rate: Decimal) -> None:
    """Change the request's company. Raises `Forbidden` unless an admin asks."""
    if not await conn.fetchval(SQL.change_company, name, currency, tax_rate):
        raise Forbidden("Only an owner or an administrator changes the company's settings.")


async def audit(conn: Connection, limit: int) -> list[Record]:
    """Return the newest (at, actor, action, target, detail, address_prefix); none but to admins."""
    return await conn.fetch(SQL.audit, limit)


async def read_invitation(conn: Connection, token_hash: bytes) -> Record | None:
    """Return (company, email, role, has_account) of an open invitation by its link's hash."""
    return await conn.fetchrow(SQL.read_invitation, token_hash)


async def join_by_link(conn: Connection, token_hash: bytes) -> UUID | None:
    """Make the account that a link is for, and accept; None where there is an account already, or no invitation."""
    user_id: UUID | None = await conn.fetchval(SQL.join_by_link, token_hash)
    return user_id


async def found_company(conn: Connection, user_id: UUID, name: str, flags: Mapping[str, Any]) -> UUID:
    """Make a company that a user who signed up owns."""
    tenant_id: UUID = await conn.fetchval(SQL.found_company, user_id, name, flags)
    return tenant_id


async def delete_account(conn: Connection, user_id: UUID) -> None:
    """Delete a person's account and all that it signs in by. Raises `Conflict` for a company's last owner."""
    _require_done(await conn.fetchval(SQL.delete_account, user_id))


# As service_role, of any company.


async def set_invitation_token(conn: Connection, invitation_id: UUID, token_hash: bytes) -> Record | None:
    """Give an open invitation a new link; returns (email, role, company, inviter).

    None for one that is over, or is of a test company.
    """
    return await conn.fetchrow(SQL.set_invitation_token, invitation_id, token_hash)


async def create_company(conn: Connection, name: str, flags: Mapping[str, Any], *, is_test: bool = False) -> UUID:
    """Make a company with these flags; no mail of a test company leaves."""
    tenant_id: UUID = await conn.fetchval(SQL.create_company, name, flags)
    if is_test:
        await conn.execute(SQL.make_test, tenant_id)
    return tenant_id


async def companies(conn: Connection) -> list[Record]:
    """Return (id, name, is_test, created_at, people) of every company, by name."""
    return await conn.fetch(SQL.companies)


async def rename_company(conn: Connection, tenant_id: UUID, name: str) -> None:
    """Rename a company. Raises `NotFound`."""
    if await conn.fetchval(SQL.rename, tenant_id, name) is None:
        raise NotFound("There is no such company.")


async def close_company(conn: Connection, tenant_id: UUID) -> int:
    """End every membership and open invitation of a company; returns how many members. Raises `NotFound`."""
    left: int | None = await conn.fetchval(SQL.close_company, tenant_id)
    if left is None:
        raise NotFound("There is no such company.")
    return left


async def people_of(conn: Connection, tenant_id: UUID) -> list[Record]:
    """Return a company's people, as `people` does."""
    return await conn.fetch(SQL.people_of, tenant_id)


async def invitations_of(conn: Connection, tenant_id: UUID) -> list[Record]:
    """Return a company's open invitations, as `invitations` does."""
    return await conn.fetch(SQL.invitations_of, tenant_id)


async def offer(conn: Connection, tenant_id: UUID, email: str, role: Role, token_hash: bytes) -> UUID:
    """Invite an address with a link whose hash is given; nothing is mailed here. Raises `Conflict` for a member."""
    found: UUID | None = await conn.fetchval(SQL.offer, tenant_id, email, role, token_hash)
    if found is None:
        raise Conflict("This person belongs to the company already.")
    return found


async def user_of_email(conn: Connection, email: str, *, make: bool) -> UUID | None:
    """Return the account of an address, with `make` a new one where there is none."""
    user_id: UUID | None = await conn.fetchval(SQL.make_user if make else SQL.user_by_email, email)
    return user_id


async def change_person(conn: Connection, tenant_id: UUID, email: str, role: Role | None) -> None:
    """Change or remove a person by address. Raises `NotFound`, and `Conflict` for the last owner."""
    user_id = await conn.fetchval(SQL.user_by_email, email)
    _require_done("none" if user_id is None else await conn.fetchval(SQL.change_person, tenant_id, user_id, role))


def _require_done(outcome: str) -> None:
    match outcome:
        case "none":
            raise NotFound("There is no such person in this company.")
        case "last_owner":
            raise Conflict(LAST_OWNER)
        case "forbidden":
            raise Forbidden(_NOT_YOURS)

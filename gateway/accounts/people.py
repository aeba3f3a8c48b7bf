"""The people of a company: invited, given roles and removed by its admins, in the browser."""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.accounts.company import company_page, render
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.http.body import uuid_param
from gateway.http.errors import STATUS
from gateway.http.input.form import read_form
from store.accounts.memberships import ROLES, Role, reaches
from store.errors import Forbidden, RequestError
from store.limits.shared_limits import Bucket, Limit, per_hour
from store.people import emails, people
from store.pool import Record

PATH = "/company/people"
INVITATIONS = Limit("invitations_company", burst=50, per_second=per_hour(100))
AUDIT_ROWS = 50
_WORDS = {
    "sign_in": "{target} signed in ({detail[way]}, {detail[device]}, {detail[where]})",
    "invite": "{actor} invited {target} as {detail[role]}",
    "invite.withdraw": "{actor} withdrew the invitation of {target}",
    "join": "{target} joined as {detail[role]}",
    "remove": "{actor} removed {target}",
    "role": "{actor} made {target} {detail[is]} (was {detail[was]})",
    "api_key.create": "{actor} made the API key {detail[name]} ({detail[role]})",
    "api_key.revoke": "{actor} revoked an API key",
    "company.change": "{actor} changed the company's settings",
    "company.create": "{actor} made the company",
    "company.close": "{actor} closed the company",
}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class InviteForm(BaseModel):
    """The address to invite, and its role."""

    model_config = ConfigDict(extra="ignore")

    email: Annotated[str, StringConstraints(max_length=320)]
    role: Literal["viewer", "member", "admin", "owner"] = "member"


class RoleForm(BaseModel):
    """The role that a person gets; empty removes them."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["viewer", "member", "admin", "owner", ""]


async def page(request: Request, principal: Principal) -> Response:
    """Show people, open invitations and the latest entries of the audit log."""
    return await _page(request, principal)


async def invite(request: Request, principal: Principal) -> Response:
    """Invite an address, or again: its mail is queued."""
    form = await read_form(request, InviteForm)
    context = context_of(request)
    try:
        email = emails.normal(form.email)
        await context.limits.spend(
            Bucket(INVITATIONS, principal.who[0]), detail="Too many invitations. Wait a while and try again."
        )
        async with context.db.as_user(principal.claims) as conn:
            await people.invite(conn, email, form.role)
    except RequestError as problem:
        return await _page(request, principal, problem=problem, email=form.email)
    return RedirectResponse(f"{PATH}?done=invited", 303)


async def withdraw(request: Request, principal: Principal) -> Response:
    """Withdraw an invitation."""
    invitation_id = uuid_param(request.path_params["invitation_id"], "invitation_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        await people.withdraw(conn, invitation_id)
    return RedirectResponse(f"{PATH}?done=withdrawn", 303)


async def change(request: Request, principal: Principal) -> Response:
    """Give a person another role, or remove them; their rights change within a second."""
    user_id = uuid_param(request.path_params["user_id"], "user_id")
    if user_id != principal.user_id and not reaches(principal.role, "admin"):
        raise Forbidden("Admins and owners manage people.")
    form = await read_form(request, RoleForm)
    role: Role | None = form.role or None
    try:
        async with context_of(request).db.as_user(principal.claims) as conn:
            await people.change(conn, user_id, role)
    except RequestError as problem:
        return await _page(request, principal, problem=problem)
    return RedirectResponse("/" if user_id == principal.user_id and role is None else f"{PATH}?done=changed", 303)


async def _page(
    request: Request, principal: Principal, *, problem: RequestError | None = None, email: str = ""
) -> Response:
    async with context_of(request).db.as_user(principal.claims) as conn:
        found: dict[str, Any] = {
            "people": await people.people(conn),
            "invitations": await people.invitations(conn),
            "audit": [{"at": row["at"], "words": words(row)} for row in await people.audit(conn, AUDIT_ROWS)],
        }
    names = {str(one["user_id"]): one["name"] or one["email"] or "a user" for one in found["people"]}
    for entry in found["audit"]:
        entry["words"] = _with_names(entry["words"], names)
    status = 200 if problem is None else next(STATUS[kind] for kind in type(problem).__mro__ if kind in STATUS)
    return await render(
        request,
        principal,
        "people.html",
        **found,
        status=status,
        problem=problem and problem.detail,
        email=email,
        roles=ROLES if principal.role == "owner" else ROLES[:-1],
        me=principal.user_id,
        done=request.query_params.get("done"),
        can_mail=context_of(request).settings.mail_url is not None,
    )


def words(entry: Record) -> str:
    """Word an entry of the audit log, with ids for people."""
    actor, target = entry["actor"].removeprefix("user "), entry["target"]
    detail = defaultdict(str, entry["detail"], where=entry["address_prefix"] or "somewhere")
    left = entry["action"] == "remove" and actor == target
    template = "{target} left" if left else _WORDS.get(entry["action"], "{actor}: " + entry["action"])
    return template.format(actor=actor, target=target, detail=detail)


def _with_names(text: str, names: Mapping[str, str]) -> str:
    return _UUID.sub(lambda found: names.get(found[0], "a former member"), text)


routes: list[BaseRoute] = [
    Route("/company", company_page(page, min_role="admin")),
    Route(PATH, company_page(page, min_role="admin")),
    Route(f"{PATH}/invite", company_page(invite, min_role="admin"), methods=["POST"]),
    Route(f"{PATH}/invitations/{{invitation_id}}/withdraw", company_page(withdraw, min_role="admin"), methods=["POST"]),
    Route(f"{PATH}/{{user_id}}", company_page(change, min_role="viewer"), methods=["POST"]),
]

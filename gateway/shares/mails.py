"""A share's link by mail: queued here, sent by a worker, and shown before as its receiver will see it."""

import base64
from contextlib import suppress
from http.client import ACCEPTED
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.auth.idempotency import idempotent
from gateway.context import Context, context_of
from gateway.http.body import Trimmed, json_response, read_json, uuid_param
from store.errors import Conflict, InvalidInput, NotFound
from store.limits.shared_limits import Bucket, Limit, mailbox_key, per_hour
from store.mail import letters, mails
from store.mail.letter import as_html
from store.people import emails

MESSAGE_LENGTH = 2000
LOGO_BYTES = 1024 * 1024
HOURS_A_DAY = 24
MAILBOX = Limit("customer_mails_mailbox", burst=5, per_second=per_hour(3))
_TOO_MANY = "Too many mails. Wait a while, or send the link yourself."
# The letter's styles stand inline, as mail programs want them; it loads nothing, and our console alone frames it.
_PREVIEW_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'",
    "x-frame-options": "SAMEORIGIN",
}


class MailOrder(BaseModel):
    """A mail with a link; no `message`: the company's own words."""

    model_config = ConfigDict(extra="forbid")

    to: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=320)]
    message: Annotated[str, Trimmed, Field(max_length=MESSAGE_LENGTH)] = ""


async def mail_share(request: Request) -> Response:
    """Queue a mail with a link of its own; its delivery stands in the share's story."""
    principal, context = await admit(request, min_role="member"), context_of(request)
    share_id = uuid_param(request.path_params["share_id"], "share_id")
    order = await read_json(request, MailOrder)
    if context.settings.mail_url is None:
        raise Conflict("This server sends no mail. Copy the link and send it yourself.", code="no_mail_server")
    address = emails.normal(order.to)
    async with context.db.as_user(principal.claims) as conn:
        mail = await mails.mail_share(conn, share_id, address, order.message)
        await _spend(context, principal.tenant_id, address)
    shown = {name: value for name, value in mail.items() if name != "user_id"}
    return json_response(shown, ACCEPTED, {"location": f"/v1/shares/{share_id}/timeline"})


async def preview(request: Request) -> Response:
    """Show the letter as HTML; its link leads nowhere yet, for each mail gets one of its own."""
    principal, context = await admit(request), context_of(request)
    share_id = uuid_param(request.path_params["share_id"], "share_id")
    message = request.query_params.get("message", "").strip()
    if len(message) > MESSAGE_LENGTH:
        raise InvalidInput(
            f"`message` has more than {MESSAGE_LENGTH} characters.", code="invalid_parameter", field="message"
        )
    async with context.db.as_user(principal.claims) as conn:
        share = await mails.share_facts(conn, share_id)
    logo = await _logo(context, share["logo_path"])
    head = letters.letterhead(share, has_logo=bool(logo))
    return HTMLResponse(as_html(letters.estimate(share, message, "#"), head, logo=logo), headers=_PREVIEW_HEADERS)


async def _spend(context: Context, tenant_id: UUID, address: str) -> None:
    """Count the mail; past a limit the transaction around it is undone."""
    a_day = context.settings.mails_per_day
    company = Limit("customer_mails_company", burst=a_day, per_second=per_hour(a_day / HOURS_A_DAY))
    await context.limits.spend(
        Bucket(company, str(tenant_id)), Bucket(MAILBOX, f"{tenant_id} {mailbox_key(address)}"), detail=_TOO_MANY
    )


async def _logo(context: Context, path: str | None) -> str:
    """Return the logo as an address that holds it, or an empty text."""
    if path is not None:
        with suppress(NotFound):
            picture = await context.objects.get(path, limit=LOGO_BYTES)
            return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    return ""


routes = [
    Route("/v1/shares/{share_id}/mails", idempotent(mail_share), methods=["POST"]),
    Route("/v1/shares/{share_id}/mail-preview", preview),
]

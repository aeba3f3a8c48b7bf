"""`/dev/mail`: the mails that would have gone out, on a developer's own machine."""

import asyncio
import email
import email.policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.context import context_of
from gateway.pages import demo
from store.errors import NotFound

SHOWN = 50


async def page(request: Request) -> Response:
    """Show the newest mails; 404 anywhere but on a local stack."""
    context = context_of(request)
    directory = context.settings.mail_dir
    if directory is None or not demo.may_log_in(request):
        raise NotFound("There is no mail to see here.")
    mails = await asyncio.to_thread(_newest, directory)
    response = context.templates.TemplateResponse(request, "dev_mail.html", {"mails": mails})
    response.headers["cache-control"] = "no-store"
    return response


def _newest(directory: Path) -> list[dict[str, Any]]:
    files = sorted(directory.glob("*.eml"), reverse=True)[:SHOWN]
    return [_read(file.read_bytes()) for file in files]


def _read(content: bytes) -> dict[str, Any]:
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)  # noqa: S101 - of that policy
    body = mail.get_body(("plain",))
    # A link of a mail is a link here too; its address is one line of the text.
    lines = str(body.get_content()).splitlines() if body is not None else []
    return {"to": mail["to"], "subject": mail["subject"], "date": mail["date"], "lines": lines}


routes = [Route("/dev/mail", page)]

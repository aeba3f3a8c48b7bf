"""API keys of a company, made and revoked by its admins; a key is shown once."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from gateway.accounts.company import company_page, render
from gateway.auth import api_keys as form_of_keys
from gateway.auth import credentials
from gateway.auth.credentials import Credential
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.http.body import Trimmed, uuid_param
from gateway.http.input.form import read_form
from gateway.http.input.text import OneLine
from store.accounts import api_keys

PATH = "/company/keys"


class KeyForm(BaseModel):
    """The key's purpose and its role."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[OneLine, Trimmed, Field(min_length=1, max_length=100)]
    role: Literal["viewer", "member", "admin"] = "member"


async def page(request: Request, principal: Principal) -> Response:
    """Show the keys in force."""
    return await _page(request, principal)


async def create(request: Request, principal: Principal) -> Response:
    """Make a key, and show it this once."""
    form = await read_form(request, KeyForm)
    secret = credentials.new_secret()
    async with context_of(request).db.as_user(principal.claims) as conn:
        key_id = await api_keys.create(conn, form.name, form.role, credentials.digest(secret))
    return await _page(request, principal, made=form_of_keys.text_of(Credential(key_id, secret)))


async def revoke(request: Request, principal: Principal) -> Response:
    """Revoke a key: its next request is refused, its streams end within a second."""
    key_id = uuid_param(request.path_params["key_id"], "key_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        await api_keys.revoke(conn, key_id)
    context_of(request).api_keys.forget(str(key_id))
    return RedirectResponse(PATH, 303)


async def _page(request: Request, principal: Principal, *, made: str = "") -> Response:
    async with context_of(request).db.as_user(principal.claims) as conn:
        keys = await api_keys.list_all(conn)
    return await render(request, principal, "keys.html", keys=keys, made=made)


routes: list[BaseRoute] = [
    Route(PATH, company_page(page, min_role="admin")),
    Route(PATH, company_page(create, min_role="admin"), methods=["POST"]),
    Route(f"{PATH}/{{key_id}}/revoke", company_page(revoke, min_role="admin"), methods=["POST"]),
]

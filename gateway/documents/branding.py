"""Branding of a contractor's documents: name and address, terms, one colour, a logo."""

from functools import cache
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.auth.principal import Principal
from gateway.context import Context, context_of
from gateway.documents.display_form import DisplayChoice
from gateway.http.body import Trimmed, read_body, read_json
from gateway.http.conditional import etag_of, require_match, tagged_response
from gateway.http.input.text import OneLine
from store.documents import colors
from store.documents.display import Display
from store.errors import NotFound, SpineError
from store.objects import content
from store.pool import Record
from store.tenants import brands

LOGO_BYTES = 2 * 1024 * 1024
# Twice what the page shows it at, so that it is sharp on a phone; some 20 KB.
LOGO_EDGE = 480
_LOGO_TYPES = ("image/png", "image/jpeg", "image/webp")
_WORDS = ("business_name", "address", "phone", "email", "license", "timezone", "terms", "mail_message")


@cache
def _zones() -> frozenset[str]:
    """Return the zones there are; `localtime` and its like are wherever the server stands."""
    return frozenset(available_timezones() - {"localtime", "posixrules", "Factory"})


def _known_zone(name: str) -> str:
    if name and name not in _zones():
        raise ValueError("Enter a time zone such as America/New_York.")
    return name


Colour = Annotated[
    str, StringConstraints(to_lower=True, pattern="^#[0-9a-fA-F]{6}$"), AfterValidator(colors.require_readable)
]


class BrandChange(BaseModel):
    """The changes; a field left out stays, an empty text is none, `accent: null` is the standard colour."""

    model_config = ConfigDict(extra="forbid")

    business_name: Annotated[OneLine, Trimmed, Field(max_length=120)] = ""
    address: Annotated[str, Trimmed, Field(max_length=500)] = ""
    phone: Annotated[OneLine, Trimmed, Field(max_length=50)] = ""
    email: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^([^@\s]+@[^@\s]+)?$", max_length=254)] = (
        ""
    )
    license: Annotated[OneLine, Trimmed, Field(max_length=100)] = ""
    timezone: Annotated[str, Trimmed, Field(max_length=64), AfterValidator(_known_zone)] = ""
    terms: Annotated[str, Trimmed, Field(max_length=5000)] = ""
    mail_message: Annotated[str, Trimmed, Field(max_length=2000)] = ""
    accent: Colour | None = None
    display: DisplayChoice = DisplayChoice()


async def get_brand(request: Request) -> Response:
    """Answer the company's words, its colour (null: the standard one), and whether it has a logo."""
    principal = await admit(request)
    async with context_of(request).db.as_user(principal.claims) as conn:
        return tagged_response(request, _brand_json(await brands.get(conn)))


async def change_brand(request: Request) -> Response:
    """Change some of it; 403 for a member below administrator.

    With If-Match only while it is as it was read: else 412.
    """
    principal = await _admit_admin(request)
    change = await read_json(request, BrandChange)
    words = {name: getattr(change, name) for name in _WORDS if name in change.model_fields_set}
    async with context_of(request).db.as_user(principal.claims) as conn:
        before = await brands.get(conn)
        require_match(request, etag_of(_brand_json(before)))
        accent = change.accent if "accent" in change.model_fields_set else before["accent"]
        await brands.change(conn, words, accent, change.display.as_json())
        return tagged_response(request, _brand_json(await brands.get(conn)))


async def get_logo(request: Request) -> Response:
    """Redirect to the logo; 404 without one."""
    principal, context = await admit(request), context_of(request)
    async with context.db.as_user(principal.claims) as conn:
        path = (await brands.get(conn))["logo_path"]
    if path is None:
        raise NotFound("There is no logo yet.")
    url = await context.objects.presign_get(path, ttl=context.settings.share_link_ttl, content_type="image/jpeg")
    return RedirectResponse(url, 302, {"cache-control": "private, no-store"})


async def get_colours(request: Request) -> Response:
    """Answer the company's colours as a style sheet, for a preview of its documents."""
    principal = await admit(request)
    async with context_of(request).db.as_user(principal.claims) as conn:
        brand = await brands.get(conn)
    return Response(colors.style_sheet(brand["accent"]), media_type="text/css", headers={"cache-control": "no-store"})


async def put_logo(request: Request) -> Response:
    """Take a PNG, JPEG or WebP of at most 2 MB; a clean JPEG on white is kept, at most 480 pixels a side."""
    principal, context = await _admit_admin(request), context_of(request)
    body = await read_body(request, limit=LOGO_BYTES)
    kind = content.recognise(body[: content.HEAD_BYTES], allowed=_LOGO_TYPES)
    key = await _keep(context, principal.tenant_id, body, kind.name)
    return tagged_response(request, _brand_json(await _set_logo(request, principal, key)))


async def delete_logo(request: Request) -> Response:
    """Go back to the name alone."""
    principal = await _admit_admin(request)
    await _set_logo(request, principal, None)
    return Response(status_code=204)


async def _set_logo(request: Request, principal: Principal, key: str | None) -> Record:
    """Exchange the logo, with If-Match only while the brand is as it was read: else 412, and the new file goes."""
    context = context_of(request)
    try:
        async with context.db.as_user(principal.claims) as conn:
            require_match(request, etag_of(_brand_json(await brands.get(conn))))
            before = await brands.set_logo(conn, key)
            brand = await brands.get(conn)
    except SpineError:
        await _forget(context, key)
        raise
    await _forget(context, before)
    return brand


async def _admit_admin(request: Request) -> Principal:
    """Admit an administrator; the database holds the same line, but only once the work is done."""
    return await admit(request, min_role="admin")


async def _keep(context: Context, tenant_id: UUID, body: bytes, content_type: str) -> str:
    """Draw the logo anew, in a helper process as every file from outside, and return its key."""
    key = brands.new_logo_key(tenant_id)
    await context.objects.put(key, body, content_type=content_type)
    try:
        async with context.objects.spooled(key) as logo:
            jpeg = await context.decoder.render(logo, content_type, LOGO_EDGE, tenant=tenant_id)
        await context.objects.put(key, jpeg, content_type="image/jpeg")
    except SpineError:
        await context.objects.discard(key)
        raise
    return key


async def _forget(context: Context, path: str | None) -> None:
    if path is not None:
        await context.objects.discard(path)


def _brand_json(row: Record) -> dict[str, Any]:
    words = {name: row["profile"].get(name, "") for name in _WORDS}
    words["business_name"] = words["business_name"] or row["name"]
    display = Display.of(row["display"]).as_json()
    del display["hidden_photos"]  # of one estimate, not of a company
    return words | {"accent": row["accent"], "has_logo": row["logo_path"] is not None, "display": display}


routes = [
    Route("/v1/branding", get_brand),
    Route("/v1/branding", change_brand, methods=["PATCH"]),
    Route("/v1/branding/logo", get_logo),
    Route("/v1/branding/colours.css", get_colours),
    Route("/v1/branding/logo", put_logo, methods=["PUT"]),
    Route("/v1/branding/logo", delete_logo, methods=["DELETE"]),
]

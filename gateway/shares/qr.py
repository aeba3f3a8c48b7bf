"""A link as a QR code, for a phone that is held before the screen. No other service sees the link."""

import asyncio
import io
from typing import Annotated

import segno
from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.context import context_of
from gateway.http.body import read_json, uuid_param
from gateway.http.client_info import public_origin
from store.shares import shares


class QrOrder(BaseModel):
    """The token of the link, which its maker alone has."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]


async def qr_code(request: Request) -> Response:
    """Answer an SVG of a link's address; the token is not kept."""
    principal, context = await admit(request, min_role="member"), context_of(request)
    share_id = uuid_param(request.path_params["share_id"], "share_id")
    order = await read_json(request, QrOrder)
    async with context.db.as_user(principal.claims) as conn:
        await shares.get(conn, share_id)
    url = f"{public_origin(request, context.settings)}/e/{order.token}"
    svg = await asyncio.to_thread(_drawn, url)
    return Response(svg, media_type="image/svg+xml", headers={"cache-control": "no-store"})


def _drawn(url: str) -> bytes:
    """Draw with a white ground and its quiet zone, so that it is read from a dark page too."""
    drawing = io.BytesIO()
    segno.make(url, error="m", micro=False).save(
        drawing, kind="svg", scale=4, border=4, light="#ffffff", dark="#000000"
    )
    return drawing.getvalue()


routes = [Route("/v1/shares/{share_id}/qr", qr_code, methods=["POST"])]

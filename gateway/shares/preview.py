"""A preview: the estimate as its customer would read it, for the contractor, without a link and without an answer."""

from dataclasses import dataclass

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.context import context_of
from gateway.documents.display_form import ShareDisplayChoice
from gateway.http.body import uuid_param
from gateway.http.input.field_errors import explain
from gateway.shares.middleware import share_headers
from store.documents.document import Document
from store.errors import InvalidInput, NotFound
from store.shares import shares


@dataclass(frozen=True)
class PreviewFiles:
    """Where a preview's pictures and colours are: at the contractor's own addresses."""

    logo: str = "/v1/branding/logo"
    colours: str = "/v1/branding/colours.css"

    def photo(self, media_id: str, size: str) -> str:
        """Return the address of a photo."""
        return f"/v1/media/{media_id}/content?size={size}"


async def preview(request: Request) -> Response:
    """Answer the page; the query says what it shows, and the company's own choice stands for what it leaves out."""
    principal, context = await admit(request), context_of(request)
    estimate_id = uuid_param(request.path_params["estimate_id"], "estimate_id")
    choice = _choice(request)
    async with context.db.as_user(principal.claims) as conn:
        source = await shares.preview(conn, estimate_id)
    if source is None:
        raise NotFound("There is no such estimate.")
    shown = {**source, "display": {**source["display"], **choice.as_json()}}
    values = {"document": Document(shown), "files": PreviewFiles(), "preview": True}
    headers = share_headers(context.settings)
    return context.templates.TemplateResponse(request, "share/document.html", values, headers=headers)


def _choice(request: Request) -> ShareDisplayChoice:
    """Read the query; `hidden_photos` are ids with commas between them."""
    given = dict(request.query_params)
    hidden = [part for part in given.pop("hidden_photos", "").split(",") if part]
    try:
        return ShareDisplayChoice.model_validate(given | ({"hidden_photos": hidden} if hidden else {}))
    except ValidationError as error:
        first = explain(error)[0]
        raise InvalidInput(first["message"], code="invalid_parameter", field=first["field"]) from None


routes = [Route("/v1/estimates/{estimate_id}/preview", preview)]

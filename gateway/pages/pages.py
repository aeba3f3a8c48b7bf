"""The contractor's console at `/`, and the files its pages are made of."""

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from gateway.auth.auth import identify
from gateway.context import context_of
from gateway.pages import demo
from gateway.pages.shell import modules_of, shell
from store.documents.colors import STANDARD_ACCENT
from store.errors import Unauthenticated

if TYPE_CHECKING:
    from starlette.types import Scope

_STATIC = Path(__file__).parents[1] / "static"


class Static(StaticFiles):
    """Files that a browser keeps but asks about (ETag, 304): a deploy shows at the next load."""

    async def get_response(self, path: str, scope: "Scope") -> Response:
        """Answer with the whole file, which may be compressed on its way, and how long to trust it."""
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"range"]
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "no-cache"
        return response


async def console(request: Request) -> Response:
    """Show the console; on a developer's own machine, sign the browser in on the way."""
    context = context_of(request)
    page = context.templates.TemplateResponse(
        request, "console.html", {"modules": modules_of("console/console.js"), "standard_accent": STANDARD_ACCENT}
    )
    page.headers["cache-control"] = "no-store"
    page.headers["etag"] = f'"{shell().version}"'  # by this a browser that keeps the console knows a newer one
    if demo.may_log_in(request) and not await _is_signed_in(request):
        await demo.log_in(request, page)
    return page


async def _is_signed_in(request: Request) -> bool:
    try:
        await identify(request)
    except Unauthenticated:
        return False
    return True


def _compressed(files: Static) -> GZipMiddleware:
    # 243 kB of scripts and styles become 88 kB; level 9 saves 0.1% more and takes longer.
    return GZipMiddleware(files, minimum_size=1024, compresslevel=6)


routes: list[BaseRoute] = [
    Route("/", console),
    Mount("/static", _compressed(Static(directory=_STATIC, check_dir=False)), name="static"),
]

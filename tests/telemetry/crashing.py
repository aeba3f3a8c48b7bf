"""Our own processes with a fault in them: `python -m tests.telemetry.crashing gateway|worker`."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.logging import configure_logging
from config.settings import Settings, load_settings
from config.telemetry import start_sentry
from gateway.app import create_app
from gateway.auth.auth import authenticate
from gateway.server.server import serve
from jobs.queue.context import JobContext
from jobs.queue.kind import Task
from jobs.worker.worker import main
from store.pool import Database

SIGNED = "https://store.test/photo.jpg?X-Amz-Signature=hush-signature"


async def crash(request: Request) -> Response:
    """Fail where secrets are at hand, as a route of ours might."""
    await authenticate(request)
    raise RuntimeError(f"cannot read {SIGNED} for {request.headers['authorization']}")


async def fail(ctx: JobContext) -> None:
    """Fail as work of ours might."""
    raise RuntimeError(f"cannot read {SIGNED} of visit {ctx.visit_id}")


@asynccontextmanager
async def failing(_settings: Settings, _db: Database) -> AsyncIterator[Mapping[str, Task]]:
    """Lend work that fails."""
    yield {"estimate": fail}


def run_gateway() -> None:
    """Serve the product, and one route more."""
    settings = load_settings()
    configure_logging(level=settings.log_level, function=settings.function_name)
    start_sentry(settings)
    app = create_app(settings)
    app.router.routes.insert(0, Route("/v1/crash/e/{token}", crash, methods=["POST"]))
    serve(app, settings)


if __name__ == "__main__":
    run_gateway() if sys.argv[1] == "gateway" else main(failing)

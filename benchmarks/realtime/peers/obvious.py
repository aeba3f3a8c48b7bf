"""The obvious relay, as the baseline: sse-starlette, and a queue for each subscriber.

`python -m benchmarks.realtime.peers.obvious PORT DATABASE_URL` listens on the same NOTIFY channel as the gateway and
sends the same documents. It checks nobody's rights, replays nothing and bounds nothing.
"""

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
import uvicorn
from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

HEARTBEAT_SECONDS = 30

Queues = dict[str, set["asyncio.Queue[tuple[int, str]]"]]


def create_app(database_url: str) -> Starlette:
    """Make the application; it listens from its lifespan."""
    queues: Queues = defaultdict(set)

    def heard(_connection: Any, _pid: int, _channel: str, payload: object) -> None:
        text = str(payload)
        event = orjson.loads(text)
        for queue in queues[event["visit_id"]]:
            queue.put_nowait((event["seq"], text))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        connection = await asyncpg.connect(database_url)
        await connection.add_listener("processing_events", heard)
        yield
        await connection.close()

    async def progress(request: Request) -> EventSourceResponse:
        return EventSourceResponse(_follow(queues, request.path_params["visit_id"]), ping=HEARTBEAT_SECONDS)

    async def ready(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("ready")

    routes = [Route("/v1/visits/{visit_id}/progress", progress), Route("/readyz", ready)]
    return Starlette(routes=routes, lifespan=lifespan)


async def _follow(queues: Queues, visit_id: str) -> AsyncIterator[dict[str, str]]:
    queue: asyncio.Queue[tuple[int, str]] = asyncio.Queue()
    queues[visit_id].add(queue)
    try:
        while True:
            seq, document = await queue.get()
            yield {"id": str(seq), "data": document}
    finally:
        queues[visit_id].discard(queue)


def main() -> None:
    """Serve until a signal."""
    port, database_url = int(sys.argv[1]), sys.argv[2]
    uvicorn.run(
        create_app(database_url),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()

"""Systems beside ours, as loopback servers that keep what they were sent: Sentry, an OTLP collector."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.servers.web import serve_in_thread

Found = TypeVar("Found")
ARRIVAL_SECONDS = 60.0


@dataclass
class Inbox:
    """What has arrived at any address of a double, unpacked."""

    url: str = ""
    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    async def take(self, request: Request) -> Response:
        """Keep where a request went and what it brought."""
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        with self._arrived:
            self.bodies.append((request.url.path, body))
            self._arrived.notify_all()
        return Response(b"{}", media_type="application/json")

    def until(self, find: Callable[[list[tuple[str, bytes]]], Found | None]) -> Found:
        """Wait for something that `find` finds among what has arrived."""
        found: list[Found] = []

        def look() -> bool:
            seen = find(list(self.bodies))
            if seen is not None:
                found.append(seen)
            return bool(found)

        with self._arrived:
            if not self._arrived.wait_for(look, ARRIVAL_SECONDS):
                raise AssertionError(f"it did not arrive; what did: {[path for path, _ in self.bodies]}")
        return found[0]


@contextmanager
def inbox() -> Iterator[Inbox]:
    """Serve a double that takes whatever it is sent."""
    kept = Inbox()
    with serve_in_thread(Starlette(routes=[Route("/{path:path}", kept.take, methods=["POST"])])) as url:
        kept.url = url
        yield kept

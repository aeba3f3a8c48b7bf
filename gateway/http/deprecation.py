"""Deprecated addresses: since when, until when at least, and the address that serves in their place.

Their answers say so by `Deprecation` (RFC 9745), `Sunset` (RFC 8594) and a link to the reference; so does the document.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Deprecation:
    """An address that new clients do not use: `sunset` is at least twelve months after `since`."""

    since: datetime
    sunset: datetime
    successor: str

    @property
    def headers(self) -> Headers:
        """The same as an answer says it."""
        return (
            (b"deprecation", f"@{int(self.since.timestamp())}".encode()),
            (b"sunset", format_datetime(self.sunset, usegmt=True).encode()),
            (b"link", b'</reference>; rel="deprecation"; type="text/html"'),
        )


# The runbook's address of a stream.
DEPRECATED: Mapping[str, Deprecation] = {
    "/functions/v1/sse-progress": Deprecation(
        since=datetime(2026, 12, 1, tzinfo=UTC),
        sunset=datetime(2028, 1, 1, tzinfo=UTC),
        successor="/v1/visits/{visit_id}/progress",
    )
}
_HEADERS: Mapping[str, Headers] = {path: each.headers for path, each in DEPRECATED.items()}


def headers_at(path: str) -> Headers:
    """Return what answers at a path say of its end; nothing for most."""
    return _HEADERS.get(path, ())


class DeprecatedAddresses:
    """Adds to the answers of a deprecated address that it is one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        headers = headers_at(scope["path"]) if scope["type"] == "http" else ()

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self._app(scope, receive, with_headers if headers else send)

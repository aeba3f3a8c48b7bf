"""A visit's stream as an async iterator.

Invariants: each event is given once and in the order of `seq`; a lost connection is resumed after the last event given;
a stream that is over ends the iteration, and one that was taken away raises.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import SystemRandom
from typing import Any, TypeAlias

import httpx
from httpx_sse import EventSource, SSEError, aconnect_sse

from scopekit_progress.events import SnapshotEvent, VisitEvent

# A token, or a function that returns a fresh one: it is asked again when the last one has ended.
Token: TypeAlias = str | Callable[[], Awaitable[str]]

# Two heartbeats and some: a connection silent for longer is dead.
SILENCE_SECONDS = 65.0
RETRY_SECONDS, MOST_RETRY_SECONDS = 1.0, 30.0
_COME_BACK = ("busy", "replaced")
_OVER = ("completed", "failed", "cancelled")
_LATER = (429, 502, 503, 504)
_jitter = SystemRandom()


class Refused(Exception):
    """The server refuses the stream for good; `status` is the answer's, and the text is its explanation."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status


class StreamEnded(Exception):
    """The stream was taken away; `reason` is `expired`, `revoked` or `disabled`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def ticket_for(base_url: str, visit_id: str, token: str, *, client: httpx.AsyncClient | None = None) -> str:
    """Return an address that opens the visit's stream within 30 s, and resumes it until the token ends.

    Raises `Refused`, and `httpx.TransportError` when the server cannot be reached.
    """
    headers = {"authorization": f"Bearer {token}"}
    async with _caller(client) as caller:
        answer = await caller.post(f"{base_url.rstrip('/')}/v1/visits/{visit_id}/progress/ticket", headers=headers)
    if answer.is_error:
        raise Refused(answer.status_code, _detail(answer))
    return base_url.rstrip("/") + str(answer.json()["url"])


async def follow(  # noqa: PLR0913 - what a stream may be opened with, by name
    base_url: str = "",
    visit_id: str = "",
    *,
    token: Token | None = None,
    ticket_url: str | None = None,
    last_id: int | None = None,
    client: httpx.AsyncClient | None = None,
) -> AsyncGenerator[SnapshotEvent | VisitEvent, None]:
    """Give a visit's snapshot and every event after it, until its job is over.

    Open it by `base_url`, `visit_id` and a `token`, or by a `ticket_url` of `ticket_for`. With `last_id`, the `seq` of
    the last event that was seen, it goes on after that one and begins without a snapshot. A `token` that is a function
    is asked for a new one where a token has ended.
    Raises `Refused` when the stream is not to be had, and `StreamEnded` when it is taken away.
    """
    address = ticket_url or f"{base_url.rstrip('/')}/v1/visits/{visit_id}/progress"
    state = _State(address, None if ticket_url else token, last_id)
    async with _caller(client) as caller:
        while not state.over:
            try:
                async for event in state.connection(caller):
                    yield event
            except (httpx.TransportError, SSEError):
                state.failures += 1
            if not state.over:
                await asyncio.sleep(state.pause())


@asynccontextmanager
async def _caller(client: httpx.AsyncClient | None) -> AsyncIterator[httpx.AsyncClient]:
    """Give this client, or one that is closed at the end."""
    if client is not None:
        yield client
    else:
        async with httpx.AsyncClient() as own:
            yield own


class _State:
    """Where one stream is: the last id, how long to wait, and whether it is over."""

    def __init__(self, address: str, token: Token | None, last_id: int | None) -> None:
        self.over = False
        self.failures = 0
        self._address = address
        self._token = token
        self._bearer: str | None = None
        self._last_id = last_id
        self._retry = RETRY_SECONDS

    async def connection(self, client: httpx.AsyncClient) -> AsyncIterator[SnapshotEvent | VisitEvent]:
        """Give what one connection brings. Raises `Refused`, `StreamEnded` and `httpx.TransportError`."""
        headers, timeout = await self._headers(), httpx.Timeout(10.0, read=SILENCE_SECONDS)
        async with aconnect_sse(client, "GET", self._address, headers=headers, timeout=timeout) as source:
            if await self._is_open(source):
                async for message in source.aiter_sse():
                    if message.retry is not None:
                        self._retry = message.retry / 1_000
                    data = json.loads(message.data)
                    if message.event == "message":
                        event: SnapshotEvent | VisitEvent = data
                        self._last_id = event["seq"]
                        yield event
                    else:
                        self._control(message.event, data)

    def pause(self) -> float:
        """Return how many seconds to wait before the next connection."""
        doubled = min(MOST_RETRY_SECONDS, RETRY_SECONDS * 2 ** min(self.failures, 6)) if self.failures > 1 else 0.0
        return max(self._retry, doubled * _jitter.uniform(0.5, 1.5))

    def _control(self, name: str, data: Any) -> None:
        if name == "hello":
            self.failures = 0
        elif name == "end":
            reason: str = data["reason"]
            self.over = reason in _OVER
            if reason == "expired" and callable(self._token):
                self._bearer = None
            elif reason not in (*_OVER, *_COME_BACK):
                raise StreamEnded(reason)

    async def _headers(self) -> dict[str, str]:
        headers = {} if self._last_id is None else {"last-event-id": str(self._last_id)}
        if self._token is not None:
            if self._bearer is None:
                self._bearer = self._token if isinstance(self._token, str) else await self._token()
            headers["authorization"] = f"Bearer {self._bearer}"
        return headers

    async def _is_open(self, source: EventSource) -> bool:
        """Tell whether the answer is a stream; one that only came too early is tried again. Raises `Refused`."""
        answer = source.response
        if answer.status_code == httpx.codes.OK:
            return True
        self.over = answer.status_code == httpx.codes.NO_CONTENT
        if answer.status_code == httpx.codes.UNAUTHORIZED and callable(self._token) and self.failures == 0:
            self._bearer = None
        elif not self.over and answer.status_code not in _LATER:
            await answer.aread()
            raise Refused(answer.status_code, _detail(answer))
        self.failures += 1
        return False


def _detail(answer: httpx.Response) -> str:
    """Return what the server said of a refusal."""
    if answer.headers.get("content-type", "").endswith("json"):
        return str(answer.json().get("detail", answer.text))
    return answer.text

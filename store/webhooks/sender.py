"""The way to a receiver: one POST, through the guard, within one deadline. Redirects are an answer and not followed."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import httpcore

from store.webhooks.address_guard import AddressGuard, AddressNotAllowed, GuardedBackend

ANSWER_SECONDS = 15.0
CONNECTIONS = 200
# Of an answer's body, so that the connection can be used again; a longer one costs it.
READ_BYTES = 16 * 1024
USER_AGENT = "ScopeKit-Webhooks/1"


@dataclass(frozen=True)
class Answer:
    """The outcome of one POST; `status` is None where no answer came, and `error` None where it was taken."""

    status: int | None
    ms: int
    error: str | None = None
    retry_after_s: float | None = None

    @property
    def taken(self) -> bool:
        """Whether the receiver took it."""
        return self.error is None


class Sender:
    """Posts to receivers."""

    def __init__(self, pool: httpcore.AsyncConnectionPool, answer_s: float = ANSWER_SECONDS) -> None:
        self._pool = pool
        self._answer_s = answer_s

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send JSON. Any failure on the way or over there is an answer."""
        began = time.monotonic()
        status, retry_after = None, None
        try:
            async with asyncio.timeout(self._answer_s):
                status, retry_after = await self._post(url, body, headers)
            error = _error_of(status)
        except AddressNotAllowed:
            error = "The address is not allowed: it is not public."
        except (httpcore.TimeoutException, TimeoutError):
            error = f"No answer within {self._answer_s:g} s."
        except httpcore.ConnectError as failure:
            error = "The certificate was not accepted." if _is_of_tls(failure) else "The connection was refused."
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError, ValueError):
            error = "The connection broke, or spoke no HTTP."
        return Answer(status, round((time.monotonic() - began) * 1000), error, _seconds(retry_after))

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str | None]:
        sent = [("content-type", "application/json"), ("user-agent", USER_AGENT), *headers.items()]
        async with self._pool.stream("POST", url, headers=sent, content=body) as response:
            read = 0
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read > READ_BYTES:
                    break
            found = {name.lower(): value for name, value in response.headers}
            return response.status, found.get(b"retry-after", b"").decode("latin-1") or None


@asynccontextmanager
async def open_sender(
    guard: AddressGuard, *, answer_s: float = ANSWER_SECONDS, backend: GuardedBackend | None = None
) -> AsyncIterator[Sender]:
    """Open the way out. No proxy of the environment is used: behind one the guard would see the proxy's address."""
    async with httpcore.AsyncConnectionPool(
        ssl_context=ssl.create_default_context(),
        max_connections=CONNECTIONS,
        keepalive_expiry=5.0,
        network_backend=backend or GuardedBackend(guard),
    ) as pool:
        yield Sender(pool, answer_s)


def _error_of(status: int) -> str | None:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    return f"HTTP {status}: redirects are not followed." if 300 <= status < 400 else f"HTTP {status}"  # noqa: PLR2004


def _is_of_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _seconds(retry_after: str | None) -> float | None:
    """Read Retry-After where it is in seconds."""
    return float(retry_after) if retry_after is not None and retry_after.strip().isdecimal() else None

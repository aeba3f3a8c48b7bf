"""GET from an identity provider, bounded in time and size: its trouble is not ours."""

import asyncio
from collections.abc import Mapping

import httpx

# For a whole answer, however it drips.
FETCH_SECONDS = 3.0
# The largest key sets are a dozen keys in 10 KB, and discovery documents smaller.
MOST_BYTES = 256 * 1024
FETCH_ERRORS = (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError)


class TooLong(ValueError):
    """An answer of more than `MOST_BYTES`."""


async def bounded_get(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Return the body of a 2xx answer. Raises one of `FETCH_ERRORS`."""
    async with asyncio.timeout(FETCH_SECONDS):
        return await _download(url, headers or {})


async def _download(url: str, headers: Mapping[str, str]) -> bytes:
    """Read the answer as it stands on the wire: a compressed one would be small there and large here."""
    body = bytearray()
    async with (
        httpx.AsyncClient(timeout=FETCH_SECONDS, headers={"accept-encoding": "identity", **headers}) as client,
        client.stream("GET", url) as response,
    ):
        response.raise_for_status()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > MOST_BYTES:
                raise TooLong
    return bytes(body)

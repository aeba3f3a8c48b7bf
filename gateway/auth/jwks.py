"""Asymmetric keys from a JWKS endpoint: cached, refreshed on an unknown `kid`, never in a burst."""

import asyncio
import time

import httpx
import jwt
from jwt.api_jwk import PyJWK, PyJWKSet

from config.logging import get_logger
from store.errors import Unavailable

_log = get_logger(__name__)

FETCH_SECONDS = 3.0
FRESH_SECONDS = 600.0
# A flood of tokens with made-up key ids must not become a flood of requests to the issuer.
RETRY_SECONDS = 10.0


class KeySet:
    """The keys an issuer publishes; one fetch at a time, the last good set is kept while the issuer is away."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, PyJWK] = {}
        self._fetched = -FRESH_SECONDS
        self._tried = -RETRY_SECONDS
        self._lock = asyncio.Lock()

    async def find(self, kid: str) -> PyJWK | None:
        """Return the key of this id, or None when the issuer does not publish it.

        Raises `Unavailable` when no set was ever fetched and the issuer does not answer.
        """
        if self._needs_fetch(kid):
            async with self._lock:
                if self._needs_fetch(kid):
                    await self._fetch()
        return self._keys.get(kid)

    def _needs_fetch(self, kid: str) -> bool:
        now = time.monotonic()
        stale = now - self._fetched > FRESH_SECONDS or kid not in self._keys
        return stale and now - self._tried > RETRY_SECONDS

    async def _fetch(self) -> None:
        self._tried = time.monotonic()
        try:
            async with httpx.AsyncClient(timeout=FETCH_SECONDS) as client:
                response = await client.get(self._url)
            response.raise_for_status()
            published = PyJWKSet.from_dict(response.json())
        except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
            _log.warning("JWKS could not be fetched", error=type(error).__name__)
            if not self._keys:
                raise Unavailable("The sign-in keys cannot be fetched at the moment. Try again.") from error
            return
        self._keys = {key.key_id: key for key in published.keys if key.key_id}
        self._fetched = self._tried

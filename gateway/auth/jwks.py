"""A JWKS: the keys that an issuer publishes to verify its tokens by.

A key that the issuer withdraws is believed for `BELIEVED_SECONDS`, here and by every cache of verified tokens.
Known keys serve while one refresh runs; only an issuer that does not answer is believed longer, for `AWAY_SECONDS`.
Its answer is bounded in time, size and number, and one key that cannot be used costs no other.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.api_jwk import PyJWK

from config.logging import get_logger
from gateway.auth.bounded_get import FETCH_ERRORS, FETCH_SECONDS, bounded_get
from store.errors import Unavailable

_log = get_logger(__name__)

# The one place that says how long a withdrawn key is believed while the issuer answers, ...
BELIEVED_SECONDS = 60.0
# ... and while it does not: an hour's outage must not sign everybody out, and a night's must not keep a stolen key.
AWAY_SECONDS = 3600.0
# Half of it, so that a set in use is always fetched anew before it is too old.
REFRESH_SECONDS = BELIEVED_SECONDS / 2
# For a set that was not used for a while, before it serves once more: an issuer that is well answers in 0.1 s.
PATIENCE_SECONDS = 1.0
# A flood of tokens with made-up key ids must not become a flood of requests to the issuer.
RETRY_SECONDS = 10.0
MOST_KEYS = 100
# NIST SP 800-131A: fewer bits verify nothing.
RSA_BITS = 2048


class _Malformed(Exception):
    """An answer that is no key set."""


class KeySet:
    """The keys of one issuer; one fetch at a time."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str, PyJWK] = {}
        self._fetched = self._tried = -math.inf
        self._failed = False
        self._refreshing: asyncio.Task[None] | None = None

    @property
    def believed_seconds(self) -> float:
        """How much longer tokens verified by these keys may be remembered; 0 when the set is too old for that."""
        return max(0.0, BELIEVED_SECONDS - self._age)

    async def find(self, kid: str) -> PyJWK | None:
        """Return the key of this id, or None when the issuer does not publish it.

        Raises `Unavailable` when it may well be published, but the issuer does not answer.
        """
        self._refresh_if_due(kid)
        if self._refreshing is not None and (kid not in self._keys or not self.believed_seconds):
            known = kid in self._keys and self._age <= AWAY_SECONDS
            await asyncio.wait((self._refreshing,), timeout=PATIENCE_SECONDS if known else FETCH_SECONDS)
        key = self._keys.get(kid) if self._age <= AWAY_SECONDS else None
        if key is None and (self._failed or self._refreshing is not None):
            raise Unavailable("The sign-in keys cannot be fetched at the moment. Try again.")
        return key

    @property
    def _age(self) -> float:
        return self._clock() - self._fetched

    def _refresh_if_due(self, kid: str) -> None:
        old = self._age > REFRESH_SECONDS or kid not in self._keys
        if old and self._refreshing is None and self._clock() - self._tried > RETRY_SECONDS:
            self._tried = self._clock()
            self._refreshing = asyncio.create_task(self._refresh(), name="jwks")

    async def _refresh(self) -> None:
        asked = self._clock()
        self._failed = True  # until it has not
        try:
            published = _published_in(await bounded_get(self._url))
        except (*FETCH_ERRORS, _Malformed) as error:
            _log.warning("JWKS could not be fetched", error=type(error).__name__)
        else:
            self._keys, self._fetched, self._failed = published, asked, False
        finally:
            self._refreshing = None


def _published_in(answer: bytes) -> dict[str, PyJWK]:
    """Read the keys that verify. Raises `_Malformed` when this is no key set, or one of too many."""
    try:
        document = orjson.loads(answer)
    except orjson.JSONDecodeError:
        raise _Malformed from None
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise _Malformed
    keys = [key for key in map(_key_in, listed) if key is not None]
    if len(keys) < len(listed):
        _log.info("Keys of the JWKS are not used", published=len(listed), used=len(keys))
    return {str(key.key_id): key for key in keys}


def _key_in(listed: Any) -> PyJWK | None:
    """Read one key, or None when it is not one that verifies: malformed, private, for encryption or too short."""
    if not isinstance(listed, dict) or not isinstance(listed.get("kid"), str) or "d" in listed:
        return None
    operations = listed.get("key_ops", ["verify"])
    if listed.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        key = PyJWK.from_dict(listed)
    except Exception:  # noqa: BLE001 - of a dozen kinds, and each costs this key alone
        return None
    if key.key_type not in ("RSA", "EC", "OKP"):
        return None
    short = isinstance(key.key, RSAPublicKey) and key.key.key_size < RSA_BITS
    return None if short else key

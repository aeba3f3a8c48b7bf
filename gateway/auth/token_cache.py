"""Tokens whose signatures have been verified lately: a page that reconnects does not pay for that again.

A removed member's streams still end at once, through the hub; what is remembered here is only that the token was
signed by a key in force.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.auth.principal import Principal

KEPT_TOKENS = 4096
# At most; a JWKS says for how long its keys are believed (`BELIEVED_SECONDS`), from when they were fetched.
KEPT_SECONDS = 60.0


class TokenCache:
    """Principals by the sha256 of their token; none outlives its token, and the one not used longest goes first."""

    def __init__(self, *, size: int = KEPT_TOKENS, clock: Callable[[], float] = time.time) -> None:
        self._size = size
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    def get(self, token: str) -> "Principal | None":
        """Return the token's caller, when it was verified a moment ago and has not expired since."""
        key = _key(token)
        found = self._kept.get(key)
        if found is None:
            return None
        principal, until = found
        if self._clock() >= until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return principal

    def keep(self, token: str, principal: "Principal", seconds: float = KEPT_SECONDS) -> None:
        """Remember a verified token for so long."""
        now = self._clock()
        self._kept[_key(token)] = principal, min(principal.expires_at, now + seconds)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

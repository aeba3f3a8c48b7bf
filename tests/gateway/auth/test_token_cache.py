"""Verified tokens are remembered, briefly."""

from dataclasses import dataclass
from uuid import UUID

from gateway.auth.principal import Principal
from gateway.auth.token_cache import KEPT_SECONDS, TokenCache

SOMEBODY = UUID(int=1)


@dataclass
class Clock:
    """A clock that a test sets."""

    now: float = 1_000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def principal(expires_at: float) -> Principal:
    """Make a caller whose token ends then."""
    return Principal(SOMEBODY, SOMEBODY, expires_at, {})


def test_a_token_is_remembered_for_a_minute_and_never_past_its_end() -> None:
    """After a minute, or at its own expiry, a token is verified again; another token is never taken for it."""
    clock = Clock()
    cache = TokenCache(clock=clock)
    long, short = principal(9_000), principal(1_010)
    cache.keep("long", long)
    cache.keep("short", short)
    assert (cache.get("long"), cache.get("short"), cache.get("other")) == (long, short, None)
    clock.now = 1_010
    assert (cache.get("long"), cache.get("short")) == (long, None)
    clock.now = 1_000 + KEPT_SECONDS
    assert cache.get("long") is None
    assert cache._kept == {}


def test_what_is_remembered_is_bounded_and_holds_no_token() -> None:
    """The token not used for longest goes first; only hashes are kept."""
    cache = TokenCache(size=2, clock=Clock())
    for token in ("a", "b"):
        cache.keep(token, principal(9_000))
    cache.get("a")
    cache.keep("c", principal(9_000))
    assert [cache.get(token) is not None for token in ("a", "b", "c")] == [True, False, True]
    assert all(len(key) == 32 for key in cache._kept)

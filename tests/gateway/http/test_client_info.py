"""What is kept of a visitor, and how often a client may be wrong: pure."""

import pytest

from gateway.http.client_info import address_prefix, agent_class, limit_key
from gateway.http.limits.rate_limiter import RateLimiter


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("testclient", ""),
        ("", ""),
    ],
)
def test_an_address_is_truncated_to_a_place(address: str, prefix: str) -> None:
    """A /24 or a /48 is kept, and of what is no address nothing."""
    assert address_prefix(address) == prefix


def test_limits_count_by_subscriber() -> None:
    """One IPv6 subscriber has a /64 of addresses, and one share of tries."""
    assert limit_key("2001:db8:1:2:3::4") == limit_key("2001:db8:1:2:ffff::1") != limit_key("2001:db8:1:3::4")
    assert limit_key("203.0.113.7") == limit_key("::ffff:203.0.113.7") != limit_key("203.0.113.8")
    assert limit_key("testclient") == "testclient"


@pytest.mark.parametrize(
    ("user_agent", "kind"),
    [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit Mobile/15E148 Safari", "phone"),
        ("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit Chrome/130 Mobile Safari", "phone"),
        ("Mozilla/5.0 (Linux; Android 15; SM-X710) AppleWebKit Chrome/130 Safari", "tablet"),
        ("Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X)", "tablet"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130", "desktop"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605", "desktop"),
        ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "bot"),
        ("facebookexternalhit/1.1 Facebot Twitterbot/1.0", "bot"),
        ("", "other"),
    ],
)
def test_a_browser_is_only_a_kind(user_agent: str, kind: str) -> None:
    """The kind is told apart, the rest is dropped."""
    assert agent_class(user_agent) == kind


def test_a_bucket_empties_and_fills() -> None:
    """Three tries at once, then one every two seconds, never more than three."""
    now = [100.0]
    limiter = RateLimiter(burst=3, per_second=0.5, clock=lambda: now[0])
    for _ in range(3):
        assert limiter.wait("a") == 0
        limiter.take("a")
    assert limiter.wait("a") == 2
    assert limiter.wait("b") == 0
    now[0] += 1.5
    assert limiter.wait("a") == 0.5
    now[0] += 1000
    for _ in range(3):
        limiter.take("a")
    assert limiter.wait("a") == 2


def test_only_so_many_addresses_are_remembered() -> None:
    """The memory is bounded, and the one longest unused goes first."""
    limiter = RateLimiter(burst=1, per_second=0.001, keys=2, clock=lambda: 0.0)
    for key in ("a", "b", "a", "c"):
        limiter.take(key)
    assert len(limiter) == 2
    assert [limiter.wait(key) > 0 for key in ("a", "b", "c")] == [True, False, True]

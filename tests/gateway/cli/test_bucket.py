"""`scopekit bucket create` against the real store: made once, and open to the browsers of our pages alone."""

from typing import Any

import httpx

from tests.stack import Services
from tests.support.command import answer

OURS = "https://app.example.test"


def test_the_bucket_is_made_and_browsers_of_our_pages_may_post(services: Services) -> None:
    """A preflight from our origin is answered, one from another is not; a second run changes nothing."""
    settings: dict[str, Any] = {"S3_BUCKET": "made-by-command", "ALLOWED_ORIGINS": OURS, "PUBLIC_URL": ""}
    for _ in range(2):
        told = answer(services, "bucket", "create", **settings)
        assert told == {"bucket": "made-by-command", "origins": [OURS], "done": True}
    url = f"{services.endpoints.s3_endpoint}/made-by-command/"

    def preflight(origin: str) -> str | None:
        asks = {"origin": origin, "access-control-request-method": "POST"}
        allowed: str | None = httpx.options(url, headers=asks).headers.get("access-control-allow-origin")
        return allowed

    assert preflight(OURS) == OURS
    assert preflight("https://evil.test") is None


def test_looking_makes_nothing(services: Services) -> None:
    """With --dry-run the store is not asked."""
    told = answer(services, "bucket", "create", "--dry-run", S3_BUCKET="not-made")
    assert told["done"] is False
    assert httpx.get(f"{services.endpoints.s3_endpoint}/not-made").status_code in (403, 404)

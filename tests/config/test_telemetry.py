"""What would leave for Sentry carries no secret."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sentry_sdk import Client
from sentry_sdk.envelope import Envelope
from sentry_sdk.scope import Scope
from sentry_sdk.transport import Transport

from config.logging import bind
from config.telemetry import scrub, scrub_value

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


class Recorder(Transport):
    """A transport that keeps what it should have sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        """Keep the envelope."""
        self.sent.append(envelope)


def test_an_event_leaves_without_its_secrets() -> None:
    """Cookies, authorization, keys, share paths, signed URLs and tokens in texts are all gone; the rest stays."""
    recorder = Recorder()
    client = Client(dsn="http://key@127.0.0.1/1", transport=recorder, before_send=scrub)
    event: Any = {
        "message": f"bad token {TOKEN} at /e/AbCdEfGhIjKlMnOpQrStUvWx for visit 7",
        "request": {
            "cookies": {"scopekit_session": TOKEN},
            "query_string": "ticket=hush",
            "headers": {"Authorization": f"Bearer {TOKEN}", "apikey": "hush", "Cookie": "a=hush", "Accept": "*/*"},
            "url": "https://store.example/photo.jpg?X-Amz-Signature=hush",
        },
        "extra": {"passcode": "hush", "nested": [{"internal_queue_key": "hush", "visit_id": "7"}]},
    }
    client.capture_event(event, scope=Scope())
    client.flush()
    sent = json.dumps(recorder.sent[0].get_event())
    assert "hush" not in sent
    assert TOKEN not in sent
    assert "AbCdEfGhIjKlMnOpQrStUvWx" not in sent
    assert "for visit 7" in sent
    assert "*/*" in sent
    assert "correlation_id" in sent


@pytest.mark.parametrize("pairs", [dict, lambda headers: [list(pair) for pair in headers.items()]])
def test_only_headers_on_the_list_leave(pairs: Callable[[dict[str, str]], Any]) -> None:
    """Labels, file names, addresses, and any header that nobody thought of stay at home."""
    told = {"User-Agent": "phone/1", "content-type": "audio/webm", "x-correlation-id": "7"}
    kept = dict.fromkeys(("x-label", "X-File-Name", "Upload-Metadata", "Referer", "x-forwarded-for", "x-new"), "hush")
    event: Any = {"request": {"headers": pairs(told | kept)}}
    assert scrub(event, {})["request"]["headers"] == told


def test_database_urls_lose_their_password() -> None:
    """A connection error's text is scrubbed like any other."""
    assert scrub_value("no route to postgresql://gateway:hush@db/x") == "no route to postgresql://[scrubbed]@db/x"


def test_an_event_says_whose_it_is() -> None:
    """Correlation id and tenant of the request or job at hand are tags; outside of one there is no tenant."""
    with bind(correlation_id="from-the-phone", tenant_id="t-1"):
        assert scrub({}, {})["tags"] == {"correlation_id": "from-the-phone", "tenant_id": "t-1"}
    assert "tenant_id" not in scrub({}, {})["tags"]

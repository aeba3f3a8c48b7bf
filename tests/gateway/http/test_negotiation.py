"""Content negotiation: pages for browsers, JSON for programs that ask for it first."""

import pytest

from gateway.http.negotiation import prefers_json


@pytest.mark.parametrize(
    ("accept", "json"),
    [
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("application/json", True),
        ("application/problem+json", True),
        ("application/json, text/html", True),
        ("text/html, application/json", False),
        ("text/html;q=0.5, application/json", True),
        ("application/json;q=0.5, text/html", False),
        ("application/json;q=0", False),
        ("application/json;q=nonsense", False),
        ("Application/JSON, */*", True),
    ],
)
def test_json_is_preferred_where_it_is_asked_for_first(accept: str, json: bool) -> None:
    """By weight, then by place; nobody gets JSON without naming it."""
    assert prefers_json(accept) is json

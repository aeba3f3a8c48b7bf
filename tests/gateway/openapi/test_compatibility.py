"""What `/v1` has promised stays: today's document is compared with the copy that is kept."""

import copy
import json
from typing import Any

import pytest

from docs.breaking import KEPT, breaks, today

OLD: dict[str, Any] = {
    "paths": {
        "/v1/things": {
            "post": {
                "parameters": [{"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 200}}],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Sent"}}}},
                "responses": {
                    "201": {
                        "headers": {"location": {}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Read"}}},
                    }
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Sent": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "maxLength": 80},
                    "unit": {"enum": ["each", "hour"]},
                    "price": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                },
            },
            "Read": {
                "type": "object",
                "required": ["id", "parts"],
                "properties": {
                    "id": {"type": "string"},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Read"}},
                    "note": {"type": "string"},
                },
            },
        }
    },
}
OPERATION = ("paths", "/v1/things", "post")
SENT, READ = ("components", "schemas", "Sent"), ("components", "schemas", "Read")
GONE = object()


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """Return the document with another value at a place, or without it."""
    document: Any = copy.deepcopy(OLD)
    place = document
    for part in path[:-1]:
        place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
    if value is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    found: dict[str, Any] = document
    return found


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("paths", "/v1/things"), GONE, "POST /v1/things: gone"),
        ((*OPERATION, "parameters"), [], "parameter limit is gone"),
        ((*OPERATION, "parameters", 0, "required"), True, "parameter limit is required"),
        ((*OPERATION, "parameters", 0, "schema", "maximum"), 100, "maximum is 100, was 200"),
        ((*OPERATION, "requestBody", "required"), True, "a body is required"),
        ((*OPERATION, "responses", "201"), GONE, "status 201 is gone"),
        ((*OPERATION, "responses", "201", "headers"), {}, "header location is gone"),
        ((*OPERATION, "responses", "201", "content"), {"text/plain": {}}, "application/json is gone"),
        ((*SENT, "required"), ["name", "unit"], "body.unit: required"),
        ((*SENT, "properties", "unit"), GONE, "body.unit: gone"),
        ((*SENT, "properties", "unit", "enum"), ["each"], "no longer takes 'hour'"),
        ((*SENT, "properties", "name", "type"), "integer", "no longer takes string"),
        ((*SENT, "properties", "name", "pattern"), "^[a-z]$", "pattern is"),
        ((*SENT, "properties", "price", "anyOf"), [{"type": "string"}], "no longer takes null"),
        ((*READ, "properties", "note"), GONE, "201.note: gone"),
        ((*READ, "required"), ["parts"], "201.id: no longer always there"),
        ((*READ, "properties", "id", "type"), ["string", "null"], "may be null"),
    ],
)
def test_a_breaking_change_is_named(path: tuple[str, ...], value: Any, said: str) -> None:
    """Whatever a client sends or reads and could no longer."""
    assert any(said in line for line in breaks(OLD, changed(path, value)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("paths", "/v1/others"), {"get": {"responses": {"200": {}}}}),
        ((*OPERATION, "responses", "202"), {}),
        ((*OPERATION, "parameters", 0, "schema", "maximum"), 500),
        ((*SENT, "required"), []),
        ((*SENT, "properties", "more"), {"type": "string"}),
        ((*SENT, "properties", "unit", "enum"), ["each", "hour", "day"]),
        ((*READ, "required"), ["id", "parts", "note"]),
        ((*READ, "properties", "more"), {"type": "string"}),
    ],
)
def test_an_addition_breaks_nobody(path: tuple[str, ...], value: Any) -> None:
    """What was sent is taken, and what was read is there."""
    assert breaks(OLD, changed(path, value)) == []


def test_today_breaks_nothing_that_was_promised() -> None:
    """A change that is meant starts `/v2`, or comes before the first release; see docs/reference/compatibility.md."""
    assert breaks(json.loads(KEPT.read_text()), today()) == []

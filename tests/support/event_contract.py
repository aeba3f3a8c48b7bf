"""The contract of events, held against what the suite sees: every row that it leaves, every message that it reads."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import asyncpg
import jsonschema_rs

from gateway.progress.asyncapi import asyncapi_document
from gateway.progress.event_types import EVENTS
from store.pool import use_json

# Types that tests make up, where any will do.
MADE_UP = frozenset({"a.b", "demo.event"})
_ROWS = """
SELECT DISTINCT ON (type, payload) scopekit.event_document(e)::jsonb AS event FROM processing_events AS e
WHERE payload <> '{}' AND NOT payload ? 'pid' AND type <> ALL ($1::text[])
"""


def example_of(type_: str) -> Mapping[str, Any] | None:
    """Return a payload for an event whose payload does not matter to its test."""
    return EVENTS[type_].example if type_ in EVENTS else None


def violations(name: str, message: Mapping[str, Any]) -> list[str]:
    """Say in which ways a message is not as described; `name` is its type, or its name where it is a control event."""
    if name not in _document()["components"]["messages"]:
        return [f"{name}: this type is described nowhere"]
    return [f"{name}{error.instance_path}: {error.message}" for error in _validator(name).iter_errors(message)]


def violations_of_stream(messages: Iterable[tuple[str, Any]]) -> list[str]:
    """Look at (name, data) of messages; events without a payload, as tests insert them, and made-up ones may be."""
    found = []
    for name, data in messages:
        if name != "message":
            found += violations(name, data)
        elif data["payload"] and data["type"] in ("snapshot", *EVENTS):
            found += violations(data["type"], data)
    return found


async def violations_in_table(admin_url: str) -> list[str]:
    """Look at every event that is in a database; those without a payload, with a `pid` or made up are tests' own."""
    connection = await asyncpg.connect(admin_url)
    try:
        await use_json(connection)
        rows = await connection.fetch(_ROWS, list(MADE_UP))
    finally:
        await connection.close()
    found = [violations(row["event"]["type"], row["event"]) for row in rows]
    return sorted({wrong for each in found if not _is_made_up(each) for wrong in each})


def _is_made_up(wrong: Iterable[str]) -> bool:
    """Whether a test made the payload up: it lacks a field that its type requires, which streams' readers check."""
    return any(each.endswith("is a required property") for each in wrong)


@cache
def _document() -> dict[str, Any]:
    return asyncapi_document()


@cache
def _validator(name: str) -> jsonschema_rs.Validator:
    reference = _document()["components"]["messages"][name]["payload"]
    whole = {**reference, "components": _document()["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)

"""Flags are nested, and only a real `true` is on."""

from typing import Any

import pytest

from config.flags import Flag, is_on


@pytest.mark.parametrize(
    ("flags", "on"),
    [
        ({"visits": {"enabled": True}}, True),
        ({"visits": {"enabled": False}}, False),
        ({"visits": {"enabled": "true"}}, False),
        ({"visits": True}, False),
        ({"visits": {}}, False),
        ({}, False),
        ({"visits.enabled": True}, False),  # the runbook's flat form, which its own rollback did not reach
    ],
)
def test_only_a_nested_true_is_on(flags: dict[str, Any], on: bool) -> None:
    """Anything else is off."""
    assert is_on(flags, Flag.VISITS) is on

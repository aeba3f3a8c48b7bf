"""The names of the tenant flags, and how one is read from `tenant_settings.feature_flags`.

Flags are nested objects; the dotted name is a path. The runbook wrote some flat (`"visits.enabled"`) and some
nested, so its rollback silently did nothing: nested is the only form we write or read.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Flag(StrEnum):
    """Every flag the product reads."""

    VISITS = "visits.enabled"
    ESTIMATION = "visits.ai_estimation_enabled"
    PROGRESS = "visits.ws_progress_enabled"


def is_on(flags: Mapping[str, Any], flag: Flag) -> bool:
    """Tell whether `flag` is exactly `true` in a tenant's nested flags; anything else is off."""
    value: Any = flags
    for key in flag.value.split("."):
        if not isinstance(value, Mapping):
            return False
        value = value.get(key)
    return value is True

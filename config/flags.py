"""The tenant flags: their meaning, who may change each, and how a value is read and written. Pure.

Flags are nested objects in `tenant_settings.feature_flags`; the dotted name is a path. The runbook wrote some flat
(`"visits.enabled"`) and some nested, so its rollback silently did nothing: nested is the only form that is stored or
read, and the database turns the other into it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal


class Flag(StrEnum):
    """Every flag the product reads."""

    VISITS = "visits.enabled"
    ESTIMATION = "visits.ai_estimation_enabled"
    PROGRESS = "visits.ws_progress_enabled"


class FlagError(ValueError):
    """The flag does not exist, or the value is not one of its values; the message lists the valid ones."""


@dataclass(frozen=True)
class Definition:
    """A flag. It is off until somebody turns it on: only so does a kill switch have one meaning."""

    description: str
    kind: type[bool] = bool
    default: bool = False
    changed_by: Literal["operator"] = "operator"


REGISTRY: Mapping[Flag, Definition] = MappingProxyType(
    {
        Flag.VISITS: Definition("The tenant may use ScopeKit at all: visits, uploads, estimates, shares."),
        Flag.ESTIMATION: Definition("Estimates are made; those that wait are kept until it is on again."),
        Flag.PROGRESS: Definition("Browsers may watch the work live; open streams end within a second of its end."),
    }
)

_WORDS = MappingProxyType({"true": True, "on": True, "false": False, "off": False})


def flag_named(name: str) -> Flag:
    """Return the flag of a dotted name. Raises `FlagError`, naming those there are."""
    try:
        return Flag(name)
    except ValueError:
        raise FlagError(f"There is no flag `{name}`. There are: {', '.join(Flag)}.") from None


def parse_value(flag: Flag, text: str) -> bool:
    """Read a value as a person writes it. Raises `FlagError` for anything but a plain on or off."""
    value = _WORDS.get(text.strip().lower())
    if value is None:
        raise FlagError(f"`{flag}` is {' or '.join(_WORDS)}, not `{text[:40]}`.")
    return value


def value_of(flags: Mapping[str, Any], flag: Flag) -> Any:
    """Return the value stored under the flag's path, or None."""
    value: Any = flags
    for key in flag.value.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def nested(names: Iterable[str]) -> dict[str, Any]:
    """Return flags as they are stored, with these on."""
    flags: dict[str, Any] = {}
    for name in names:
        *path, last = name.split(".")
        inner = flags
        for key in path:
            inner = inner.setdefault(key, {})
        inner[last] = True
    return flags


def is_on(flags: Mapping[str, Any], flag: Flag) -> bool:
    """Tell whether `flag` is exactly `true` in a tenant's nested flags; anything else is its default, off."""
    value = value_of(flags, flag)
    return value if isinstance(value, REGISTRY[flag].kind) else REGISTRY[flag].default

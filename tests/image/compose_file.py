"""deploy/compose.yaml as compose reads it: anchors merged, variables put in."""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.product import ROOT

_VARIABLE = re.compile(r"\$\$|\$\{(\w+)(?:(:[?-])((?:[^{}]|\$\{\w+\})*))?\}")


def load(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the file with `variables` put in. Raises `KeyError` for a required one that is missing."""
    loaded: dict[str, Any] = _filled(yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text()), variables)
    return loaded


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, variables) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    return _substitute(value, variables) if isinstance(value, str) else value


def _substitute(text: str, variables: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name, kind, default = found[1], found[2], found[3]
        if name is None:
            return "$"
        given = variables.get(name, "")
        if given or kind is None:
            return given
        if kind == ":?":
            raise KeyError(name)
        return _substitute(default, variables)

    return _VARIABLE.sub(value, text)

"""How two versions of an estimate differ, line by line and in their terms. Pure."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

Line: TypeAlias = Mapping[str, Any]

_TEXT = ("description", "category", "unit", "option")
_COMPARED = ("description", "category", "quantity", "unit", "unit_price", "option")
_TERMS = ("tax_rate", "markup_rate", "discount_rate", "discount_fixed", "options", "chosen_option")


def differences(old: Sequence[Line], new: Sequence[Line]) -> list[dict[str, Any]]:
    """Return the changes of a newer version: [{change: added|removed|changed, description, before?, after?}].

    Lines are the same when their descriptions are, or else when they stand at the same place and are the only ones
    without a counterpart there.
    """
    pairs = _pairs(old, new)
    return [difference for before, after in pairs if (difference := _difference(before, after))]


def changed_terms(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tell which terms of price differ: [{term, before, after}]."""
    return [
        {"term": name, "before": old[name], "after": new[name]}
        for name in _TERMS
        if _same_form(old[name]) != _same_form(new[name])
    ]


def shown(line: Line) -> dict[str, Any]:
    """Return a customer's view of a line, in one form whether it comes from the database or from an edit."""
    price = line["unit_price"]
    return {name: line[name] for name in _TEXT} | {
        "quantity": f"{Decimal(line['quantity']):.3f}",
        "unit_price": None if price is None else f"{Decimal(price):.2f}",
    }


def _same_form(term: Any) -> Any:
    return term if term is None or isinstance(term, list) else str(term)


def _pairs(old: Sequence[Line], new: Sequence[Line]) -> list[tuple[Line | None, Line | None]]:
    waiting = dict(enumerate(old))
    matched: list[tuple[Line | None, Line | None]] = []
    unmatched: list[tuple[int, Line]] = []
    for place, line in enumerate(new):
        at = next((p for p, before in waiting.items() if before["description"] == line["description"]), None)
        if at is None:
            unmatched.append((place, line))
        else:
            matched.append((waiting.pop(at), line))
    matched += [(waiting.pop(place, None), line) for place, line in unmatched]
    return matched + [(line, None) for line in waiting.values()]


def _difference(before: Line | None, after: Line | None) -> dict[str, Any] | None:
    if before is None and after is not None:
        return {"change": "added", "description": after["description"], "after": shown(after)}
    if after is None and before is not None:
        return {"change": "removed", "description": before["description"], "before": shown(before)}
    assert before is not None  # noqa: S101 - a pair has at least one side
    assert after is not None  # noqa: S101
    was, now = shown(before), shown(after)
    changed = [name for name in _COMPARED if was[name] != now[name]]
    if not changed:
        return None
    return {
        "change": "changed",
        "description": after["description"],
        "before": {name: was[name] for name in changed},
        "after": {name: now[name] for name in changed},
    }

"""Field errors: which fields of a request cannot be used, each with a sentence for the person at the form.

The validator's own text never leaves: a kind of error without words here gets a plain general sentence.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

_OWN = "Value error, "
_GENERAL = "This cannot be used."
# By the validator's kinds of error; braces hold what the kind of error knows.
_WORDS = {
    "missing": "This is required.",
    "extra_forbidden": "There is no field of this name.",
    "string_type": "Enter text.",
    "string_too_long": "Enter at most {max_length} characters.",
    "string_pattern_mismatch": "This does not have the expected form.",
    "int_parsing": "Enter a whole number.",
    "int_type": "Enter a whole number.",
    "int_from_float": "Enter a whole number.",
    "int_parsing_size": "This number is too large.",
    "bool_type": "Choose true or false.",
    "bool_parsing": "Choose true or false.",
    "greater_than": "Enter more than {gt}.",
    "greater_than_equal": "Enter at least {ge}.",
    "less_than": "Enter less than {lt}.",
    "less_than_equal": "Enter at most {le}.",
    "list_type": "Send a list.",
    "too_long": "At most {max_length} are possible.",
    "too_short": "At least {min_length} is needed.",
    "literal_error": "Choose one of {expected}.",
    "enum": "Choose one of {expected}.",
    "uuid_type": "Send a UUID such as 0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90.",
    "uuid_parsing": "Send a UUID such as 0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90.",
    "datetime_type": "Send a time such as 2026-11-30T09:00:00Z.",
    "datetime_parsing": "Send a time such as 2026-11-30T09:00:00Z.",
    "datetime_from_date_parsing": "Send a time such as 2026-11-30T09:00:00Z.",
    "timezone_aware": "Send a time with its offset, such as 2026-11-30T09:00:00Z.",
    "dict_type": "Send an object.",
    "model_type": "Send an object.",
    "model_attributes_type": "Send an object.",
}


def explain(error: ValidationError) -> list[dict[str, str]]:
    """Return [{field, message}] for every field that does not fit."""
    found = error.errors(include_url=False, include_input=False)
    return [{"field": ".".join(map(str, item["loc"])), "message": _message(item)} for item in found]


def _message(item: Mapping[str, Any]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "value_error":
        return str(item["msg"]).removeprefix(_OWN)
    if kind == "string_too_short":
        least = context["min_length"]
        return "This must not be empty." if least == 1 else f"Enter at least {least} characters."
    return _WORDS.get(kind, _GENERAL).format(**context)

"""Text that people type, made fit to be stored and shown on one line.

Invariant: a `OneLine` holds no control character and none that turns the direction of the text around it, so that a
name on a certificate reads as it was typed. Both kinds are invisible and come along with pasted text (Windows puts
U+202A before a copied telephone number), so they are dropped and not refused.
"""

import re
import unicodedata
from typing import Annotated, Any

from pydantic import BeforeValidator

# Embeddings, overrides and isolates. The marks U+200E, U+200F and U+061C stay: Hebrew and Arabic names need them.
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")
_BREAKS = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")


def one_line(value: Any) -> Any:
    """Return a text as one line of visible characters; a value of another type as it is."""
    if not isinstance(value, str):
        return value
    text = _DIRECTION.sub("", _BREAKS.sub(" ", value))
    return "".join(letter for letter in text if unicodedata.category(letter) != "Cc")


OneLine = Annotated[str, BeforeValidator(one_line)]

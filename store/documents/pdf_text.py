"""Text that the printed form's own fonts can show: a pictogram is printed as its name. Pure."""

import re
import unicodedata
from typing import Any

# Joiners, variation selectors and directions a reader never sees, and a font would show as boxes.
_UNSEEN = "\ufe0e\ufe0f\u200d\u2066-\u2069\u202a-\u202e"
_CONTROLS = "\x00-\x09\x0b-\x1f\x7f-\x9f"
_PICTOGRAMS = "\U0001f000-\U0001faff"
# One search for what is rare: to look at each letter held the gateway for 15 ms a document of 500 lines.
_UNPRINTABLE = re.compile(f"[{_UNSEEN}{_CONTROLS}{_PICTOGRAMS}]")
_FIRST_PICTOGRAM = 0x1F000
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)
_SKIN_TONES = range(0x1F3FB, 0x1F400)


def printable(value: Any) -> Any:
    """Return JSON values with every text made printable: a hammer becomes `[hammer]`, a flag its country's letters."""
    match value:
        case str():
            return _UNPRINTABLE.sub(_printed, value)
        case dict():
            return {key: printable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [printable(inner) for inner in value]
        case _:
            return value


def _printed(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < _FIRST_PICTOGRAM or code in _SKIN_TONES:
        return ""
    if code in _FLAG_LETTERS:
        return chr(code - _FLAG_LETTERS.start + ord("A"))
    return f"[{unicodedata.name(found[0], 'pictogram').lower()}]"

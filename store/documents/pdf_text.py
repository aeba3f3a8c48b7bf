"""Text that the printed form's own fonts can show: a pictogram is printed as its name. Pure."""

import unicodedata
from typing import Any

# Joiners, variation selectors and directions a reader never sees, and a font would show as boxes.
_UNSEEN = dict.fromkeys(map(ord, "\ufe0e\ufe0f\u200d\u2066\u2067\u2068\u2069\u202a\u202b\u202c\u202d\u202e"))
_FIRST_PICTOGRAM, _END_OF_PICTOGRAMS = 0x1F000, 0x1FB00
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)
_SKIN_TONES = range(0x1F3FB, 0x1F400)


def printable(value: Any) -> Any:
    """Return JSON values with every text made printable: a hammer becomes `[hammer]`, a flag its country's letters."""
    match value:
        case str():
            return "".join(_printed(character) for character in value.translate(_UNSEEN))
        case dict():
            return {key: printable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [printable(inner) for inner in value]
        case _:
            return value


def _printed(character: str) -> str:
    code = ord(character)
    if not _FIRST_PICTOGRAM <= code < _END_OF_PICTOGRAMS:
        return "" if unicodedata.category(character) == "Cc" and character != "\n" else character
    if code in _SKIN_TONES:
        return ""
    if code in _FLAG_LETTERS:
        return chr(code - _FLAG_LETTERS.start + ord("A"))
    return f"[{unicodedata.name(character, 'pictogram').lower()}]"

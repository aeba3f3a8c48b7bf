"""Folds the forms of a word onto one: "outlets", "sealing". Both sides are folded, so a stem need be no word."""

from __future__ import annotations

_SHORTEST = 3
_IRREGULAR = {
    "shelves": "shelf",
    "knives": "knif",
    "halves": "half",
    "feet": "foot",
    "leaves": "leaf",
    "torn": "tear",
    "hung": "hang",
    "ground": "grind",
    "grinding": "grind",
    "ceiling": "ceiling",
    "footing": "footing",
    "opening": "opening",
    "coping": "coping",
    "casing": "casing",
    "flashing": "flashing",
    "decking": "decking",
    "molding": "molding",
    "fitting": "fitting",
    "bedding": "bedding",
    "siding": "siding",
    "railing": "railing",
    "housing": "housing",
    "lighting": "light",
    "piping": "pip",
    "wiring": "wir",
    "fencing": "fenc",
    "roofing": "roof",
    "tiling": "til",
    "plumbing": "plumb",
    "mulching": "mulch",
}  # fmt: skip


def stem(word: str) -> str:
    """Return the stem of a lower-case word."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    word = singular(word)
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and len(root) >= _SHORTEST and any(letter in "aeiouy" for letter in root):
            return _undoubled(root)
    return word.removesuffix("e") if len(word) > _SHORTEST else word


def singular(word: str) -> str:
    """Fold a plural onto its singular, well enough to compare two mentions of one thing."""
    if word in {"shelves", "halves", "leaves", "feet"}:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > len("ties"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is", "as")) and len(word) > _SHORTEST - 1:
        return word[:-1]
    return word


def _undoubled(root: str) -> str:
    """Undo the doubling of "stripped" and the "e" of "sealed" against "tile": both ends are cut alike."""
    if len(root) > _SHORTEST and root[-1] == root[-2] and root[-1] not in "lsz":
        return root[:-1]
    return root.removesuffix("e")

"""How the trades abbreviate and name one thing in several ways. All words are lower case; matching alone uses them."""

from __future__ import annotations

import re
from pathlib import Path


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _pairs(name: str) -> dict[str, str]:
    """Read the lines "meaning: spelling | spelling" of a file into {spelling: meaning}."""
    found: dict[str, str] = {}
    for line in Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines():
        meaning, _, spellings = line.partition(": ")
        found |= {} if line.startswith("#") else {one.strip(): meaning for one in spellings.split("|")}
    return found


# Spellings of one to three words, and what they mean in the words of a price book.
MEANINGS = _pairs("meanings.txt")
# What a thing is a kind of; used where the price book has no word for the thing itself: "holly", "chandelier".
BROADER = {
    name: broader
    for name, broader in _pairs("broader.txt").items()
    if not set(name.split()) & set(broader.split())  # "porch light" has its "light" as it is
}

# Words that tell nothing of which item is meant.
FLUFF = _words(
    """a an the of and or with to in on at for from by up off out into onto over under per is are it its this
    that these those there all each every both some any more new existing old also please just then so we need
    needs needed want wants should would will can could has have gets get got do does be been as well our my
    your their his her install installed supplied furnish provide add additional extra standard regular basic
    general final down typical inch foot size same away complete including include incl total approx about around
    roughly say
    maybe one two w/ ea each qty put set r&r replac replace owner customer client homeowner only them them it
    we i he she they was were not but if into here there el la los las de en con y un una para por""",
)
# These say where; an item that has them still means them.
PLACES = _words(
    """kitchen bath bathroom bedroom hall hallway living dining room laundry garage basement attic upstairs downstairs
    master guest front back side rear north south east west yard house home closet den office foyer porch
    stairwell corner unit whole entire area throughout behind near lot building crawl space
    crawlspace utility powder half primary first second third left right middle story"""
)
# They may stand behind the thing they describe: "toilets, elongated".
ADJECTIVES = _words(
    """black white brown bronze gray grey tan beige almond red green blue satin matte gloss primed prefinished
    elongated round standard deluxe tall wide deep long high low heavy dead damaged broken rotten rotted old
    bad loose missing stuck match exterior interior matching existing size color style brand grade type per
    too smooth only plus spread planted wifi smart soft noisy semi flat eggshell wht blk choice lower upper"""
)
# Verbs that say of nearly any thing that it is worked on; an item seldom has the same one.
PLAIN_VERBS = _words(
    """add run pull hook drop swap put get do bring build make mount hang set lay place tie wire connect cut drill core
    change bolt fasten attach secure supply provide furnish feed route stub blow blown spray sprayed apply dig
    pour lift raise jack
    reset rehang rebuild program test check adjust move relocate extend treat service swing weld fab fabricate fit"""
)
# The kinds of work that never share a price; what is not listed is new work.
KINDS = {
    "remove": _words("remove haul"),
    "repair": _words("repair patch restore fix unclog leak"),
    "paint": _words("paint stain prime seal sealcoat refinish varnish"),
    "reset": _words("reset reinstall relocate rehang adjust reuse move detach"),
    "clean": _words("clean wash tune test inspect inspection diagnostic"),
}
LABOR_ONLY = re.compile(
    r"\b(?:owner|customer|client|homeowner|ho|cust|they|he|she)(?:'s|s|'re|'ve)?(?: will| is|'ll| are| have| has)?"
    r"(?: already| just)? ?(?:-| )?"
    r"(?:suppl(?:y|ies|ied|ying)|furnish(?:es|ed|ing)?|provid(?:es?|ed|ing)|bought|buys?|buying|has (?:the|it|them))\b|"
    r"\((?:the )?(?:owner|customer|client|homeowner)'s\)|"
    r"\bby (?:the )?(?:owner|customer|client|homeowner|tenant|others)\b(?=\W+(?:we|i|us)\b)|"
    r"\b(?:labor|install)(?:ation)? only\b|\bsupplied by (?:the )?(?:owner|customer|client|others|homeowner)\b",
    re.IGNORECASE,
)

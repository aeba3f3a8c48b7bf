"""The kinds of clauses that ask for no priced work: by others, already done, a state of things, a time.

The cues stand in `cues.txt`; each kind has the words the contractor reads before the quote.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTRUCTION = "instruction"
BY_OTHERS = "by others"
DONE = "done"
EXCLUDED = "excluded"
CONDITIONAL = "conditional"
OPTION = "option"
INCLUDED = "included"
CONDITION = "condition"
PLACE = "place"
ADMIN = "admin"
TALK = "talk"
WITHDRAWN = "withdrawn"
CORRECTED = "corrected"
NOT_UNDERSTOOD = "not understood"

TOLD: Mapping[str, str] = {
    INSTRUCTION: "Addresses this program, changes nothing, please check",
    BY_OTHERS: "By others, no line",
    DONE: "Already done, no line",
    EXCLUDED: "Not wanted or not included, no line",
    CONDITIONAL: "Only if it turns out to be needed, not in the total",
    OPTION: "Offered as an option, not in the total",
    INCLUDED: "Included with other work, no line of its own",
    CONDITION: "How things are on site, no line",
    PLACE: "Heading, place or address, no line",
    ADMIN: "Appointment, contact, access or terms, no line",
    TALK: "Talk, no line",
    WITHDRAWN: "Taken back by the speaker, no line",
    CORRECTED: "Corrects a line",
    NOT_UNDERSTOOD: "Not understood",
}

_PEOPLE = (
    r"(?:the |their |his |her |our )?(?:home ?|property |building "
    r")?(?:owners?|customers?|clients?|homeowners?|ho|landlords?|tenants?|(?:he|she|they)(?='ll| "
    r"will)|neighbou?rs?|gc|general(?: contractor)?|others?|plumbers?|electricians?|painters?|roofers?|hvac "
    r"guys?|city|county|utility|hoa|insurance|another (?:company|crew|contractor)|somebody else|someone "
    r"else|other trades?|separate (?:contractor|sub|crew)|subs?|wife|husband|son|brother[- ]in[- "
    r"]law|(?:his|her) (?:guy|brother|cousin))"
)
# Who is called for work of one trade; with "guy", "company" and the like, anybody is.
_TRADESPEOPLE = (
    r"(?:(?:landscap|paint|plumb|roof|weld|glaz|til|install|build|carpent|fram|excavat|decorat|design|extermi?nat|"
    r"survey|inspect|insur|clean|mov|contract|suppl|deal|manag|keep|drywall|fabricat|engin|print)(?:er|or|eer|ier)s?|"
    r"electricians?|masons?|vendors?|arborists?|architects?|handym[ae]n|locksmiths?|(?:\w+ )?(?:guys?|compan(?:y|ies)|"
    r"co|outfits?|crews?|subs?|folks|people))"
)
# "They replace the filter every year" tells what others do.
TELLS_OF_OTHERS = re.compile(r"^\W*(?:they|he|she|it)\W+(?!want|need|would like|asked)\w+", re.IGNORECASE)
# How things are: a thing that is, has, looks or did something, with nothing to do about it.
STATE = re.compile(
    r"\b(?:is|are|was|were|isn't|aren't|has|have|had|looks?|looked|seems?|came|comes|went|goes|lives|stays|appears?|feels?|sounds|"
    r"leaks|leaked|failed|fell|broke|rotted|dripping|it's|they're|there's|there are|there is|he's|she's|works|"
    r"cracked|peeling|needs attention|"
    r"does|did|said|noticed|found|(?:i|we|he|she|they) saw|smells?|shows?|you can see|was built)\b",
    re.IGNORECASE,
)
NO_CHARGE = re.compile(
    r"\b(?:no[- ]?charge|n/c|free of charge|for free|at no cost|no cost|"
    r"under warranty|warranty (?:work|repair|item)|"
    r"complimentary|gratis|comped|comp'd|no extra(?: charge| cost)?)\b|"
    r"\b(?:it's|that's|this one's|that one's|is|are) on (?:us|the house)\b",
    re.IGNORECASE,
)
INSTALLS = re.compile(r"\b(?:install|labor|hang|set|hook|mount|we|i'll)\b", re.IGNORECASE)
HEDGE = re.compile(
    r"\b(?:maybe|possibly|perhaps|might|optionally|consider(?:ing)?|whether|"
    r"if \w+|unless \w+|tbd|not sure)\b",
    re.IGNORECASE,
)
SCRATCH = re.compile(
    r"\b(?:scratch|strike|forget|cancel|drop|delete|nix) (?:that|it|this|the last(?: one)?|about (?:that|it))\b"
    r"(?! (?:\w+ )?(?:outlet|door|window))|\bnever ?mind(?: that)?\b(?! (?:the|about|those|my)\b)",
    re.IGNORECASE,
)  # fmt: skip
CORRECTING = re.compile(
    r"^\W*(?:(?:oh|ok|okay|um|uh|and|well|so)\W+)*(?:(?:no|nope|actually|sorry|wait|correction|rather|"
    r"oops|hold on|i mean|i meant|"
    r"make (?:that|it|those)|change (?:that|it) to|"
    r"let's (?:say|make it|do)|scratch that|better|should be|that should be|i said)\W+)+",
    re.IGNORECASE,
)  # fmt: skip


def remark_of(text: str) -> str | None:
    """Return the kind of remark a clause is, None when its words name none."""
    return next((kind for kind, cue in _cues() if cue.search(text)), None)


@cache
def _cues() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """Read the table of cues."""
    lines = Path(__file__).with_name("cues.txt").read_text(encoding="utf-8").splitlines()
    rows = (line.partition(": ") for line in lines if line and not line.startswith("#"))
    return tuple((kind, _compiled(cue)) for kind, _, cue in rows)


def _compiled(cue: str) -> re.Pattern[str]:
    return re.compile(cue.replace("{people}", _PEOPLE).replace("{tradespeople}", _TRADESPEOPLE), re.IGNORECASE)

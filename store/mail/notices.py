"""Notices to a company's own people and to operators: their words. Pure; no name and no amount stands in a subject."""

from collections.abc import Mapping
from typing import Any

from store.mail.letter import Letter, Letterhead

# The topics that a person chooses, each with what it is about.
TOPICS: Mapping[str, str] = {
    "opened": "A customer opens an estimate for the first time",
    "question": "A customer asks a question",
    "changes_requested": "A customer asks for changes",
    "accepted": "A customer accepts an estimate",
    "declined": "A customer declines an estimate",
    "estimate_failed": "An estimate could not be made",
}
OFF, MINE, ALL = CHOICES = ("off", "mine", "all")
PRODUCT = Letterhead("ScopeKit")

_SUBJECTS = {
    "opened": "Opened",
    "question": "A question",
    "changes_requested": "Changes asked for",
    "accepted": "Accepted",
    "declined": "Declined",
    "estimate_failed": "Not estimated",
}
_SAYS = {
    "opened": "{who} opened your estimate for {visit}.",
    "question": "{who} asks about your estimate for {visit}.",
    "changes_requested": "{who} asks for changes to your estimate for {visit}.",
    "accepted": "{who} accepted your estimate for {visit}. The signed estimate is attached.",
    "declined": "{who} declined your estimate for {visit}.",
    "estimate_failed": "The estimate for {visit} could not be made. Nothing is lost: open the visit to see why.",
}


def usual_choice(role: str) -> str:
    """Return what a person gets of each topic who has chosen nothing, as `scopekit.notify_people` has it."""
    return ALL if role == "owner" else MINE


def notice(kind: str, facts: Mapping[str, Any], origin: str) -> Letter:
    """Tell one of a company's people what has happened; `facts` is a row of `mails.notice_facts`."""
    visit = facts["title"] or "a visit"
    who = facts["decided_by"] or facts["recipient"] or facts["customer_name"] or "Your customer"
    return Letter(
        subject=f"{_SUBJECTS[kind]}: {visit}",
        paragraphs=(_SAYS[kind].format(who=who, visit=visit),),
        quote=facts["said"] or "",
        button="Open the visit",
        link=f"{origin}/#visit={facts['visit_id']}",
        notes=(f"You choose which of these mails you get: {origin}/company/you#notifications",),
    )


def alert(words: str, *, firing: bool, value: float, origin: str) -> Letter:
    """Tell an operator that an alert begins, or is over."""
    state = "Alert" if firing else "Over"
    return Letter(
        subject=f"{state}: {words}",
        paragraphs=(f"{words}.", f"The last value was {value:g}." if firing else "The alert is over."),
        button="Open operations",
        link=f"{origin}/ops",
        notes=("You get this as an operator of the server.",),
    )

"""The letters of a company: their words. Pure; `share` is a row of `mails.share_facts`."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from store.documents.colors import STANDARD_ACCENT
from store.mail.letter import Letter, Letterhead

STANDARD_MESSAGE = (
    "Thank you for having us. Your estimate is ready: you can read it, ask for changes and accept it online."
)


def letterhead(company: Mapping[str, Any], *, has_logo: bool) -> Letterhead:
    """Return the head of a company's letters; `company` has name, profile and accent."""
    profile = company["profile"]
    reach = " · ".join(profile[name] for name in ("phone", "email") if profile.get(name))
    address = ", ".join(profile.get("address", "").splitlines())
    return Letterhead(
        name=company_name(company),
        accent=company["accent"] or STANDARD_ACCENT,
        footer=tuple(line for line in (address, reach) if line),
        has_logo=has_logo,
    )


def company_name(company: Mapping[str, Any]) -> str:
    """Return the name a company goes by."""
    name: str = company["profile"].get("business_name") or company["name"]
    return name


def estimate(share: Mapping[str, Any], message: str, link: str) -> Letter:
    """Bring an estimate's link to the customer: in the words given, else the company's own, else the standard ones."""
    company = company_name(share)
    words = message or share["profile"].get("mail_message") or STANDARD_MESSAGE
    return Letter(
        subject=f"Your estimate from {company}",
        paragraphs=(_greeting(share), words),
        button="View your estimate",
        link=link,
        notes=_notes(share),
    )


def reminder(share: Mapping[str, Any], link: str) -> Letter:
    """Remind the customer of an estimate that was not opened, or not answered."""
    company = company_name(share)
    waits = "You have not answered our estimate yet. Take your time; we would be glad to hear from you."
    if not share["views"]:
        waits = "Our estimate is still waiting for you. Here is the link again, in case the first mail got lost."
    return Letter(
        subject=f"A reminder: your estimate from {company}",
        paragraphs=(_greeting(share), waits),
        button="View your estimate",
        link=link,
        notes=_notes(share),
    )


def _greeting(share: Mapping[str, Any]) -> str:
    name = share["recipient"] or share["customer_name"]
    return f"Hello {name}," if name else "Hello,"


def _notes(share: Mapping[str, Any]) -> tuple[str, ...]:
    until = share["expires_at"].astimezone(_zone(share["profile"].get("timezone", "")))
    passcode = f"You need the passcode that {company_name(share)} gave you." if share["has_passcode"] else ""
    lasts = (
        f"The link works until {until.day} {until:%B %Y}. It is meant for you: whoever has it can read the estimate."
    )
    reply = f"Questions? Reply to this mail to reach {company_name(share)}." if share["profile"].get("email") else ""
    return tuple(note for note in (passcode, lasts, reply) if note)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")

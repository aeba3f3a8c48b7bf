"""The document as its printed form needs it: the same words and figures as the page, as plain values. Pure."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from store.documents import signature
from store.documents.colors import STANDARD_ACCENT
from store.documents.display import Display
from store.documents.document import Document, Group, Line, moment
from store.documents.pdf_text import printable

# Countries that print on Letter are those that pay in these.
_LETTER = frozenset({"USD", "CAD"})
_DECIDED = {"accepted": "Accepted", "declined": "Declined", "changes_requested": "Changes requested"}

TAKEN = {
    "online": "Online",
    "in_person": "In person, on the contractor's device",
    "phone": "By phone, recorded by the contractor",
}

LOGO = "logo.jpg"


def photo_file(number: int) -> str:
    """Name the file of a photo beside the template."""
    return f"photo-{number}.jpg"


def pdf_values(document: Document, files: Collection[str]) -> dict[str, Any]:
    """Return the data for estimate.typ; `files` are the pictures that lie beside it."""
    business = document.business
    reach = [business.get("phone"), business.get("email"), business.get("license") and f"License {business['license']}"]
    values = {
        "paper": "us-letter" if document.estimate["currency"] in _LETTER else "a4",
        "accent": business.get("accent") or STANDARD_ACCENT,
        "logo": LOGO if LOGO in files else None,
        "from": {
            "name": business["name"],
            "address": (business.get("address") or "").splitlines(),
            "reach": [word for word in reach if word],
        },
        "facts": _facts(document),
        "number": document.number,
        "for": {
            "name": document.addressee,
            "address": document.visit["address"].splitlines(),
        },
        "visit": {"title": document.visit["title"], "date": document.visited},
        "columns": ["Description", *_columns(document.display)],
        "groups": [_group(group, document.display) for group in document.groups],
        "option": document.chosen_option,
        "alternatives": [_group(group, document.display) for group in document.alternatives],
        "sums": [list(row) for row in document.sums],
        "total": document.total,
        "open": document.still_open,
        "terms": document.terms.splitlines(),
        "photos": [
            {"number": photo.number, "label": photo.label, "alt": photo.alt, "file": photo_file(photo.number)}
            for photo in document.photos
            if photo_file(photo.number) in files
        ],
        "decision": _decision(document),
        "certificate": _certificate(document),
        "hash": document.estimate["content_hash"],
    }
    printed: dict[str, Any] = printable(values)
    return printed


def _facts(document: Document) -> list[list[str]]:
    facts = [["Number", document.number], ["Version", str(document.estimate["version"])], ["Date", document.dated]]
    return [*facts, ["Valid until", document.valid_until_day]] if document.is_open else facts


def _columns(display: Display) -> list[str]:
    shown = {"Qty": display.quantities, "Unit price": display.unit_prices, "Amount": display.line_prices}
    return [name for name, is_shown in shown.items() if is_shown]


def _group(group: Group, display: Display) -> dict[str, Any]:
    lines = [_line(line, _columns(display)) for line in group.lines]
    return {"name": group.name, "subtotal": group.subtotal, "lines": lines}


def _line(line: Line, columns: list[str]) -> dict[str, Any]:
    cells = {"Qty": line.quantity, "Unit price": line.unit_price, "Amount": line.amount}
    return {
        "description": line.description,
        "cells": [cells[name] for name in columns],
        "open": line.is_open,
        "photos": [photo.number for photo in line.photos],
    }


def _decision(document: Document) -> dict[str, str] | None:
    decision = document.decision
    if decision is None:
        return None
    return {"what": _DECIDED[decision["decision"]], "name": decision["name"], "at": document.decided,
            "message": decision["message"]}  # fmt: skip


def _certificate(document: Document) -> dict[str, Any] | None:
    certificate = document.certificate
    if certificate is None or document.decision is None:
        return None
    facts = certificate.facts
    accepted_at = datetime.fromisoformat(facts["accepted_at"])
    rows = [
        ["Accepted by", facts["accepted_by"]],
        ["Accepted at", f"{document.decided} ({moment(accepted_at)})"],
        ["Signed by", facts["signed_by"].capitalize()],
        ["Taken", TAKEN[facts["taken"]]],
        ["Document", f"Estimate {document.number}, version {facts['version']}, {document.total}"],
        *([["Option", document.chosen_option]] if document.chosen_option else []),
        ["Offered by", facts["contractor"]],
        ["From", " · ".join(word for word in (facts["address"], facts["browser"]) if word)],
    ]
    return {
        "rows": rows,
        "content_hash": facts["content_hash"],
        "selection_hash": facts["selection_hash"],
        "fingerprint": certificate.fingerprint,
        "strokes": signature.strokes(document.decision["signature"]),
    }

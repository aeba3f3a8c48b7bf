"""E-mail addresses in one form, so that one mailbox is one account. Pure.

Invariants: ASCII alone, in lower case, so that no two addresses only look alike; a domain with other letters stands in
its ASCII form (`xn--...`), which nobody takes for the name it imitates.
"""

import re

import idna

from store.errors import Unprocessable

LONGEST = 254  # RFC 5321
_LOCAL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")


def normal(text: str) -> str:
    """Return an address in the form that is kept and compared. Raises `Unprocessable` for any other text."""
    local, at, domain = text.strip().rpartition("@")
    try:
        domain = idna.encode(domain, uts46=True).decode().lower() if domain else ""
    except idna.IDNAError:
        domain = ""
    address = f"{local.lower()}@{domain}"
    is_ours = at and len(address) <= LONGEST and local.isascii() and _LOCAL.fullmatch(local.lower())
    if not is_ours or ".." in local or not _DOMAIN.fullmatch(domain):
        raise Unprocessable("Enter an e-mail address such as name@example.com.")
    return address

"""The URL of a receiver, checked as text. The address behind a name is checked later, at each connection."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from config.settings import Settings
from store.errors import Unprocessable
from store.webhooks.address_guard import AddressGuard

MOST_LETTERS = 2000


def require_receiver(url: str, settings: Settings) -> str:
    """Return a URL that may be delivered to. Raises `Unprocessable`, which names the fault."""
    guard = AddressGuard(settings.webhook_networks)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("This is not a web address.") from None
    if not url.isascii() or not url.isprintable() or " " in url or not host or port == 0:
        raise _refused("This is not a web address.")
    if parts.scheme != "https" and not (parts.scheme == "http" and guard.allows_plain_http):
        raise _refused("The address must begin with https://.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise _refused("The address must have neither a user name nor a #fragment.")
    if _is_address(host) and not guard.allows(host):
        raise _refused("The address is not public.")
    return url


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _refused(detail: str) -> Unprocessable:
    return Unprocessable(detail, errors=[{"field": "url", "message": detail}])

"""The facts of a request about its sender, and only those worth keeping."""

import ipaddress
import re
from typing import TypeAlias
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request

from config.settings import Settings
from store.shares.shares import ClientInfo

_BOT = re.compile(
    r"bot\b|bot/|crawl|spider|slurp|preview|facebookexternalhit|whatsapp|telegram|skype|safelinks|scanner|"
    r"proofpoint|mimecast|barracuda|curl|wget|python|httpx|okhttp|go-http|headless",
    re.IGNORECASE,
)
_TABLET = re.compile(r"ipad|tablet|android(?!.*mobile)", re.IGNORECASE)
_PHONE = re.compile(r"iphone|ipod|mobile", re.IGNORECASE)
_DESKTOP = re.compile(r"windows nt|macintosh|x11|cros", re.IGNORECASE)
# The networks one subscriber has, so that an address names a place and not a person.
_V4_KEPT, _V6_KEPT = 24, 48
_V6_SUBSCRIBER = 64
_V6 = 6
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
# What a person knows a browser and a machine by; the first that fits, as each names those after it.
_BROWSERS = {
    "Edg": "Edge",
    "OPR/": "Opera",
    "Firefox/": "Firefox",
    "FxiOS/": "Firefox",
    "CriOS/": "Chrome",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
_SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows NT": "Windows",
    "Macintosh": "Mac",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
}
_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


def client_info_of(request: Request) -> ClientInfo:
    """Return the kind of browser and the truncated address."""
    return ClientInfo(agent_class(request.headers.get("user-agent", "")), address_prefix(address_of(request)))


def address_of(request: HTTPConnection) -> str:
    """Return the peer's address; behind a proxy the server has already put the client's there."""
    return request.client.host if request.client else ""


def is_loopback(request: HTTPConnection) -> bool:
    """Tell whether the peer is this machine and asked under a loopback name.

    The name matters because DNS rebinding brings a foreign page to a loopback port under the foreign name.
    """
    name = request.headers.get("host", "").rsplit(":", 1)[0]
    peer = _parsed(address_of(request))
    return peer is not None and peer.is_loopback and name in _LOOPBACK_NAMES


def limit_key(address: str) -> str:
    """Return the key that limits count by: an IPv4 address, or an IPv6 subscriber's /64."""
    parsed = _parsed(address)
    if parsed is None:
        return address
    return _network(parsed, _V6_SUBSCRIBER) if parsed.version == _V6 else str(parsed)


def address_prefix(address: str) -> str:
    """Truncate to a /24 or /48: `203.0.113.0/24`. Anything but an address gives an empty string."""
    parsed = _parsed(address)
    if parsed is None:
        return ""
    return _network(parsed, _V6_KEPT if parsed.version == _V6 else _V4_KEPT)


def agent_class(user_agent: str) -> str:
    """Name the kind of browser: bot, tablet, phone, desktop or other."""
    kinds = (("bot", _BOT), ("tablet", _TABLET), ("phone", _PHONE), ("desktop", _DESKTOP))
    return next((name for name, pattern in kinds if pattern.search(user_agent)), "other")


def device_of(user_agent: str) -> str:
    """Name a browser and its system as a person knows them: `Chrome on Windows`."""
    browser = next((name for mark, name in _BROWSERS.items() if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS.items() if mark in user_agent), "")
    return " on ".join(filter(None, (browser, system))) or "Unknown device"


def public_origin(request: Request, settings: Settings) -> str:
    """Return `scheme://host[:port]` as customers reach us: PUBLIC_URL, else the request's own."""
    base = str(settings.public_url) if settings.public_url else str(request.base_url)
    parts = urlsplit(base)
    return f"{parts.scheme}://{parts.netloc}"


def came_from_our_page(request: Request, settings: Settings, *, without_referrer: bool = False) -> bool:
    """Tell whether a page of ours sent a change: by Sec-Fetch-Site, or by Origin in a browser too old for that.

    Pages `without_referrer` say `Referrer-Policy: no-referrer`, with which browsers send `Origin: null` even to
    ourselves. There `null` passes in an old browser: a decision needs the SameSite=Strict cookie anyway, and the link
    alone opens an estimate. Elsewhere a form in another site's sandboxed frame would pass too.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    own = {public_origin(request, settings), f"{request.url.scheme}://{request.url.netloc}"}
    return request.headers.get("origin") in (own | {"null"} if without_referrer else own)


def _parsed(address: str) -> _Address | None:
    """Read an address, an IPv4 one also where IPv6 carries it; None for a name, as a test client has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _network(address: _Address, kept: int) -> str:
    return str(ipaddress.ip_network((address, kept), strict=False))

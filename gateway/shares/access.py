"""Access under /e/{token}: the link, the session, and the limits on tries."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from starlette.requests import Request

from gateway.context import context_of
from gateway.http.client_info import address_of, came_from_our_page, limit_key
from gateway.http.limits.rate_limiter import RateLimiter, spend
from gateway.shares.link_secrets import digest
from gateway.shares.middleware import NO_LINK
from store.errors import Forbidden, Gone, NotFound
from store.limits.shared_limits import Bucket, Limit, per_hour
from store.pool import Connection, Record
from store.shares import shares

Answer = TypeVar("Answer")

SESSION_COOKIE = "scopekit_share"
# Unknown links an address may ask for, of all gateways together: enough for a mangled link in a family's chat, little
# for a search. Nobody can search 256 bits; this keeps a try from costing us.
UNKNOWN_LINKS = Limit("unknown_links", burst=30, per_second=0.5)
# Wrong passcodes an address may send, whatever the links: the lock of each link is its own, and lasts.
WRONG_PASSCODES = Limit("wrong_passcodes", burst=30, per_second=per_hour(30))
# Forms one link, and one address, may send: far more than people do, little for a machine that fills the timeline.
TOKEN_BURST, TOKEN_PER_SECOND = 60, 0.5
ADDRESS_BURST, ADDRESS_PER_SECOND = 150, 2.0
# Documents set in type for one link: each costs a process a third of a second.
PAPER_BURST, PAPER_PER_SECOND = 8, 0.1

_UNKNOWN = "Too many unknown links were tried. Wait a moment and try again."


class Limits:
    """How often an address or a link may try, in this process."""

    def __init__(self) -> None:
        self.addresses = RateLimiter(burst=ADDRESS_BURST, per_second=ADDRESS_PER_SECOND)
        self.tokens = RateLimiter(burst=TOKEN_BURST, per_second=TOKEN_PER_SECOND)
        self.documents = RateLimiter(burst=PAPER_BURST, per_second=PAPER_PER_SECOND)


def limits_of(request: Request) -> Limits:
    """Return the limits of the application that serves this request."""
    state = request.app.state
    if not hasattr(state, "share_limits"):
        state.share_limits = Limits()
    limits: Limits = state.share_limits
    return limits


def bucket_of(request: Request, limit: Limit) -> Bucket:
    """Return the bucket of the address that asks."""
    return Bucket(limit, limit_key(address_of(request)))


def key_of(request: Request, or_session: str = "") -> shares.Key:
    """Return the hashes of the link's token and of the browser's session, or of the one a form brought."""
    session = request.cookies.get(SESSION_COOKIE) or or_session
    return shares.Key(digest(request.path_params["token"]), digest(session) if session else None)


async def find(request: Request, key: shares.Key) -> Record:
    """Look the link up: always one hash and one query, for any link.

    Raises `NotFound` for an unknown link, `Gone` for one that ended and has no live session, both in the same words;
    `TooMany` for an address that asked for too many unknown ones.
    """
    limits, unknown = context_of(request).limits, bucket_of(request, UNKNOWN_LINKS)
    limits.check(unknown, detail=_UNKNOWN)
    async with context_of(request).db.as_system(on_behalf_of=key.token) as conn:
        share = await shares.by_token(conn, key)
    if share is None:
        await limits.spend(unknown, detail=_UNKNOWN)
        raise NotFound(NO_LINK)
    if share["state"] != "ready" and not share["live"]:
        raise Gone(NO_LINK, code="link_ended")
    return share


async def of_session(request: Request, ask: Callable[[Connection, shares.Key], Awaitable[Answer | None]]) -> Answer:
    """Ask the store with the key of this request; without a live session its answer is None or `NotFound`.

    Raises `NotFound` then, and `Gone` and `TooMany` as `find` does: an unknown link counts as one at every address.
    """
    key = key_of(request)
    with suppress(NotFound):
        async with context_of(request).db.as_system(on_behalf_of=key.token) as conn:
            answer = await ask(conn, key)
        if answer is not None:
            return answer
    await find(request, key)
    raise NotFound("This is not part of the document, or this page timed out; reopen the link.")


def require_our_form(request: Request) -> None:
    """Let a form of our own page in, as often as its link and its address may send one.

    Raises `TooMany`, in the same words for every link, and `Forbidden` for another site's page.
    """
    limits, link = limits_of(request), digest(request.path_params["token"]).hex()
    for limiter, key in ((limits.addresses, limit_key(address_of(request))), (limits.tokens, link)):
        spend(limiter, key)
    if not came_from_our_page(request, context_of(request).settings, without_referrer=True):
        raise Forbidden("Open the estimate with the button on its own page.", code="foreign_origin")

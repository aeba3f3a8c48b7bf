"""The feed of changes over HTTP: for systems that keep a copy of a company's data."""

import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.context import context_of
from gateway.http.body import int_param, json_response
from gateway.http.input.paging import cursor, read_cursor
from store.errors import Gone
from store.events import changes

TOLD, MOST_TOLD = 100, 500
_LATEST = "latest"
# The greatest seq: behind a whole transaction.
_WHOLE = 2**63 - 1


async def list_changes(request: Request) -> Response:
    """Answer {changes: [{kind, id, visit_id, action, changed_at}], has_more, next}, oldest first.

    `next` is always there: keep it, and ask again with it as `after`. Without `after` the feed begins with the oldest
    change that is kept, with `after=latest` behind the newest. Raises `Gone` for a position of more than 30 days ago.
    """
    principal = await admit(request)
    limit = int_param(request.query_params.get("limit"), "limit", low=1, high=MOST_TOLD) or TOLD
    asked = request.query_params.get("after")
    position = None if asked == _LATEST else _position(asked)
    async with context_of(request).db.as_user(principal.claims) as conn:
        if asked == _LATEST:
            position = (await changes.latest(conn), _WHOLE)
        txid, seq = position or (0, 0)
        rows = [] if asked == _LATEST else await changes.after(conn, txid, seq, limit + 1)
    shown = rows[:limit]
    if shown:
        txid, seq = shown[-1]["txid"], shown[-1]["seq"]
    told = [{name: row[name] for name in ("kind", "id", "visit_id", "action", "changed_at")} for row in shown]
    return json_response(
        {"changes": told, "has_more": len(rows) > limit, "next": cursor((txid, seq, int(time.time())))}
    )


def _position(word: str | None) -> tuple[int, int] | None:
    """Read a `next` of this feed; None when absent. Raises `Gone` when changes behind it may be forgotten."""
    found = read_cursor(word, _whole_number, _whole_number, _whole_number)
    if found is None:
        return None
    txid, seq, told_at = found
    if told_at < time.time() - changes.KEPT.total_seconds():
        detail = (
            "Changes are kept for 30 days, and this position is older. Read everything anew, then go on from latest."
        )
        raise Gone(detail, code="changes_expired")
    return txid, seq


def _whole_number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _WHOLE:
        raise ValueError
    return value


routes = [Route("/v1/changes", list_changes)]

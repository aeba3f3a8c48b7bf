"""Estimates: read the newest or any version, and edit its lines into the next one."""

import re
from decimal import Decimal
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth import Principal, admit
from gateway.body import json_response, read_json, uuid_param
from gateway.context import context_of
from gateway.line_edits import LineEdit, apply_edit, differences
from store import estimates, money, visits
from store.errors import Conflict, InvalidInput, NotFound, Unprocessable
from store.pool import Connection

_ETAG = re.compile(r'^(?:W/)?"?(\d{1,9})"?$')
_EDIT_BYTES = 1024 * 1024


async def of_visit(request: Request) -> Response:
    """Answer the visit's newest estimate with its lines; 404 while there is none."""
    principal = await admit(request)
    visit_id = uuid_param(request.path_params["visit_id"], "visit_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        await visits.get(conn, visit_id)
        estimate = await estimates.latest_for_visit(conn, visit_id)
    if estimate is None:
        raise NotFound("This visit has no estimate yet.")
    return _answer(estimate)


async def get_estimate(request: Request) -> Response:
    """Answer one version with its lines."""
    principal = await admit(request)
    estimate_id = uuid_param(request.path_params["estimate_id"], "estimate_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        return _answer(await estimates.get(conn, estimate_id))


async def put_lines(request: Request) -> Response:
    """Save all lines as the next version: 201.

    `If-Match: "<version>"` says what the edit was made from: 428 without it, and 409 with the newest version's id and
    what it has changed when that is not the newest any more.
    """
    principal = await admit(request)
    estimate_id = uuid_param(request.path_params["estimate_id"], "estimate_id")
    version = _if_match(request)
    edit = await read_json(request, LineEdit, limit=_EDIT_BYTES)
    async with context_of(request).db.as_user(principal.claims) as conn:
        estimate = await estimates.get(conn, estimate_id)
        if estimate["version"] != version:
            raise await _moved_on(conn, estimate)
        try:
            saved = await estimates.save_version(conn, _next(estimate, edit, principal), after=version)
        except Conflict:
            raise await _moved_on(conn, estimate) from None
    return _answer(saved, 201)


def _next(estimate: dict[str, Any], edit: LineEdit, principal: Principal) -> estimates.NewEstimate:
    """Carry everything but the lines over: the engine and model are still where the lines come from.

    Raises `Unprocessable` for lines that do not fit.
    """
    new = estimates.NewEstimate(
        tenant_id=principal.tenant_id,
        visit_id=estimate["visit_id"],
        engine=estimate["engine"],
        model=estimate["model"],
        currency=estimate["currency"],
        tax_rate=Decimal(estimate["tax_rate"]),
        lines=apply_edit(estimate["lines"], edit),
        summary=estimate["summary"],
        coverage=estimate["coverage"],
        created_by=principal.user_id,
    )
    if new.sums.total > money.MOST:
        raise Unprocessable(f"The total is too large: at most {money.MOST:,} fits.")
    return new


async def _moved_on(conn: Connection, estimate: dict[str, Any]) -> Conflict:
    """Say which version is the newest, and how it differs from the one the edit started from."""
    newest = await estimates.latest_for_visit(conn, estimate["visit_id"]) or estimate
    return Conflict(
        f"The newest version of this estimate is {newest['version']}. Read it and make the change there.",
        latest={name: newest[name] for name in ("id", "version", "content_hash", "created_at")},
        changes=differences(estimate["lines"], newest["lines"]),
    )


def _if_match(request: Request) -> int:
    value = request.headers.get("if-match")
    if value is None:
        raise HTTPException(428, 'Say which version was edited: If-Match: "<version>".')
    match = _ETAG.match(value.strip())
    if match is None:
        raise InvalidInput('If-Match must be one version, such as "3".', field="if-match")
    return int(match[1])


def _answer(estimate: dict[str, Any], status: int = 200) -> Response:
    return json_response(estimate, status, {"etag": f'"{estimate["version"]}"'})


routes = [
    Route("/v1/visits/{visit_id}/estimate", of_visit),
    Route("/v1/estimates/{estimate_id}", get_estimate),
    Route("/v1/estimates/{estimate_id}/lines", put_lines, methods=["PUT"]),
]

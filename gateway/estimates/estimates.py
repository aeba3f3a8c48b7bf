"""Estimates: read the newest or any version, see the changes, and edit lines and terms into the next one."""

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.auth.auth import admit
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.estimates.learned_prices import learned
from gateway.estimates.line_differences import changed_terms, differences
from gateway.estimates.line_edits import LineEdit, apply_edit, next_terms
from gateway.http.body import int_param, json_response, read_json, uuid_param
from store.errors import Conflict, InvalidInput, NotFound, Unprocessable
from store.estimates import estimates, money
from store.pool import Connection
from store.visits import visits

_ETAG = re.compile(r'^(?:W/)?"?(\d{1,9})"?$')
_EDIT_BYTES = 1024 * 1024
_MOST_VERSIONS = 999_999_999
_TOLD = ("id", "version", "total", "created_at")


async def of_visit(request: Request) -> Response:
    """Answer the visit's newest estimate with its lines; 404 while there is none."""
    principal = await admit(request)
    visit_id = uuid_param(request.path_params["visit_id"], "visit_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        await visits.get(conn, visit_id)
        estimate = await estimates.latest_for_visit(conn, visit_id)
    if estimate is None:
        raise NotFound("This visit has no estimate yet.", code="no_estimate_yet")
    return _answer(estimate)


async def get_estimate(request: Request) -> Response:
    """Answer one version with its lines."""
    principal = await admit(request)
    estimate_id = uuid_param(request.path_params["estimate_id"], "estimate_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        return _answer(await estimates.get(conn, estimate_id))


async def versions(request: Request) -> Response:
    """Answer {versions: [...]}: every version of the visit's estimate without its lines, newest first."""
    principal = await admit(request)
    visit_id = uuid_param(request.path_params["visit_id"], "visit_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        await visits.get(conn, visit_id)
        return json_response({"versions": await estimates.versions(conn, visit_id)})


async def changes(request: Request) -> Response:
    """Answer {from, to, changes, terms}: how a version differs from the one before it, or from `?since=<version>`."""
    principal = await admit(request)
    estimate_id = uuid_param(request.path_params["estimate_id"], "estimate_id")
    since = int_param(request.query_params.get("since"), "since", low=1, high=_MOST_VERSIONS)
    async with context_of(request).db.as_user(principal.claims) as conn:
        newer = await estimates.get(conn, estimate_id)
        older = await estimates.version(conn, newer["visit_id"], since or newer["version"] - 1)
    if older is None:
        raise NotFound("There is no earlier version to compare it with.")
    told = {side: {name: one[name] for name in _TOLD} for side, one in (("from", older), ("to", newer))}
    compared = {"changes": differences(older["lines"], newer["lines"]), "terms": changed_terms(older, newer)}
    return json_response(told | compared)


async def put_lines(request: Request) -> Response:
    """Save all lines, and the terms that are given, as the next version: 201.

    `If-Match: "<version>"` names the version that was edited: 428 without it, and 409 with the newest version's id and
    its changes when a newer one exists.
    """
    principal = await admit(request)
    estimate_id = uuid_param(request.path_params["estimate_id"], "estimate_id")
    version = _if_match(request)
    edit = await read_json(request, LineEdit, limit=_EDIT_BYTES)
    async with context_of(request).db.as_user(principal.claims) as conn:
        estimate = await estimates.get(conn, estimate_id)
        if estimate["version"] != version:
            raise await _moved_on(conn, estimate)
        new = _next(estimate, edit, principal)
        new = replace(new, lines=await learned(conn, principal.tenant_id, edit, estimate["lines"], new.lines))
        try:
            saved = await estimates.save_version(conn, new, after=version)
        except Conflict:
            raise await _moved_on(conn, estimate) from None
    return _answer(saved, 201)


def _next(estimate: dict[str, Any], edit: LineEdit, principal: Principal) -> estimates.NewEstimate:
    """Carry everything but the lines over: the engine and model are still where the lines come from.

    Raises `Unprocessable` for lines that do not fit.
    """
    terms = next_terms(estimate, edit)
    new = estimates.NewEstimate(
        tenant_id=principal.tenant_id,
        visit_id=estimate["visit_id"],
        engine=estimate["engine"],
        model=estimate["model"],
        currency=estimate["currency"],
        tax_rate=terms.tax_rate,
        adjustments=terms.adjustments,
        options=terms.options,
        chosen_option=terms.chosen_option,
        lines=apply_edit(estimate["lines"], edit),
        summary=estimate["summary"],
        coverage=estimate["coverage"],
        created_by=principal.user_id,
    )
    # Not the chosen option's alone: every line's amount has its column, and another option may be chosen later.
    if sum((line.amount or Decimal(0) for line in new.lines), start=new.sums.total) > money.MOST:
        raise Unprocessable(f"The total is too large: at most {money.MOST:,} fits.")
    return new


async def _moved_on(conn: Connection, estimate: dict[str, Any]) -> Conflict:
    """Say which version is the newest, and how it differs from the one the edit started from."""
    newest = await estimates.latest_for_visit(conn, estimate["visit_id"]) or estimate
    return Conflict(
        f"The newest version of this estimate is {newest['version']}. Read it and make the change there.",
        latest={name: newest[name] for name in ("id", "version", "content_hash", "created_at")},
        changes=differences(estimate["lines"], newest["lines"]),
        terms=changed_terms(estimate, newest),
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
    Route("/v1/visits/{visit_id}/estimates", versions),
    Route("/v1/estimates/{estimate_id}/changes", changes),
    Route("/v1/estimates/{estimate_id}/lines", put_lines, methods=["PUT"]),
]

"""Estimates: read the newest or any version, see the changes, and edit lines and terms into the next one."""

from dataclasses import replace
from decimal import Decimal
from http import HTTPStatus
from typing import Any
from uuid import UUID

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
from gateway.http.conditional import require_match, tagged_response
from gateway.http.input.paging import read_page
from store.errors import Conflict, NotFound, PreconditionFailed, PreconditionRequired, Unprocessable
from store.estimates import estimates, money
from store.pool import Connection
from store.visits import visits

_EDIT_BYTES = 1024 * 1024
_SAY_VERSION = 'Say which version was edited: If-Match: "<version>".'
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
    return _answer(request, estimate)


async def get_estimate(request: Request) -> Response:
    """Answer one version with its lines; `Link: <...>; rel="latest-version"` where there is a newer one."""
    principal = await admit(request)
    estimate_id = uuid_param(request.path_params["estimate_id"], "estimate_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        estimate = await estimates.get(conn, estimate_id)
        newest = await estimates.newest_id(conn, estimate["visit_id"])
    return _answer(request, estimate, newest=newest)


async def versions(request: Request) -> Response:
    """Answer {versions: [...], has_more, next}: versions of the visit's estimate without their lines, newest first."""
    principal, page = await admit(request), read_page(request, _version_number)
    visit_id = uuid_param(request.path_params["visit_id"], "visit_id")
    async with context_of(request).db.as_user(principal.claims) as conn:
        await visits.get(conn, visit_id)
        rows = await estimates.versions(conn, visit_id, page.reach, page.after[0] if page.after else None)
    return json_response(page.answer("versions", rows, lambda row: (row["version"],)))


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
    """Save all lines, and the terms that are given, as the next version: 201, with its address in Location.

    `If-Match: "<version>"` names the version that was edited: 428 without it, and 412 with the newest version's id and
    its changes when a newer one exists. The same edit sent again is answered with the version that it made.
    """
    principal = await admit(request)
    estimate_id = uuid_param(request.path_params["estimate_id"], "estimate_id")
    if "if-match" not in request.headers:
        raise PreconditionRequired(_SAY_VERSION, field="if-match")
    edit = await read_json(request, LineEdit, limit=_EDIT_BYTES)
    async with context_of(request).db.as_user(principal.claims) as conn:
        estimate = await estimates.get(conn, estimate_id)
        _require_version(request, estimate)
        new = _next(estimate, edit, principal)
        new = replace(new, lines=await learned(conn, principal.tenant_id, edit, estimate["lines"], new.lines))
        try:
            saved = await estimates.save_version(conn, new, after=estimate["version"])
        except Conflict:
            saved = await _newest(conn, estimate)
            if not _is_made_by(new, saved, after=estimate["version"]):
                raise _moved_on(estimate, saved) from None
    return _answer(request, saved, 201)


def _version_number(value: Any) -> int:
    if not isinstance(value, int) or not 1 <= value <= _MOST_VERSIONS:
        raise ValueError
    return value


def _require_version(request: Request, estimate: dict[str, Any]) -> None:
    """Pass when If-Match names this version, decided or not. Raises `PreconditionFailed`."""
    require_match(request, f'"{estimate["version"]}"', _etag(estimate), required=True)


def _is_made_by(new: estimates.NewEstimate, saved: dict[str, Any], *, after: int) -> bool:
    """Tell whether a saved version is what this edit makes: its first answer was lost, and it was sent again."""
    lines = [(line["needs_review"], line["price_item_id"]) for line in saved["lines"]]
    return (saved["version"], saved["created_by"], saved["content_hash"], lines) == (
        after + 1,
        new.created_by,
        new.content_hash,
        [(line.needs_review, line.price_item_id) for line in new.lines],
    )


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


async def _newest(conn: Connection, estimate: dict[str, Any]) -> dict[str, Any]:
    return await estimates.latest_for_visit(conn, estimate["visit_id"]) or estimate


def _moved_on(estimate: dict[str, Any], newest: dict[str, Any]) -> PreconditionFailed:
    """Say which version is the newest, and how it differs from the one the edit started from."""
    return PreconditionFailed(
        f"The newest version of this estimate is {newest['version']}. Read it and make the change there.",
        latest={name: newest[name] for name in ("id", "version", "content_hash", "created_at")},
        changes=differences(estimate["lines"], newest["lines"]),
        terms=changed_terms(estimate, newest),
    )


def _etag(estimate: dict[str, Any]) -> str:
    """Return a version's ETag: its number, and the decision on it once there is one."""
    decided = "" if estimate["status"] == "draft" else f".{estimate['status']}"
    return f'"{estimate["version"]}{decided}"'


def _answer(request: Request, estimate: dict[str, Any], status: int = 200, *, newest: UUID | None = None) -> Response:
    headers = {"location": f"/v1/estimates/{estimate['id']}"} if status == HTTPStatus.CREATED else {}
    if newest not in (None, estimate["id"]):
        headers["link"] = f'</v1/estimates/{newest}>; rel="latest-version"'
    return tagged_response(request, estimate, etag=_etag(estimate), status=status, headers=headers)


routes = [
    Route("/v1/visits/{visit_id}/estimate", of_visit),
    Route("/v1/estimates/{estimate_id}", get_estimate),
    Route("/v1/visits/{visit_id}/estimates", versions),
    Route("/v1/estimates/{estimate_id}/changes", changes),
    Route("/v1/estimates/{estimate_id}/lines", put_lines, methods=["PUT"]),
]

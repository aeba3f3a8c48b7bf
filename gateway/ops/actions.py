"""Operators' actions: each is one transaction, in which the database writes the audit log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.flags import Flag
from gateway.auth.principal import Principal
from gateway.context import context_of
from gateway.http.body import json_response, read_json, uuid_param
from gateway.ops.access import operator_of
from gateway.ops.dashboard import dashboard_of
from store.pool import Connection
from store.queue import dead_letters, queue_control
from store.tenants import flags

Asked = TypeVar("Asked", bound=BaseModel)
Reason = Annotated[str, StringConstraints(max_length=500, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[a-z0-9_:.-]+$")]


class Why(BaseModel):
    """Why it is done."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = ""


class OfCause(Why):
    """Dead letters of one cause, as the page groups them: a batch, that after the last letter of the one before."""

    job_type: str
    error_code: str
    cause: str
    after: UUID | None = None


class Switch(Why):
    """A job type, `all`, or an engine's breaker."""

    name: Name


class FlagOf(Why):
    """A flag of one tenant."""

    tenant_id: UUID
    flag: Flag
    on: bool


class KillOf(Why):
    """A flag of everybody."""

    flag: Flag


@asynccontextmanager
async def operator_action(request: Request, principal: Principal) -> AsyncIterator[Connection]:
    """Lend a transaction in which this operator acts; then the page is drawn anew."""
    async with context_of(request).db.as_operator(principal.claims) as conn:
        yield conn
    dashboard_of(request).changed()


async def retry(request: Request) -> Response:
    """Queue one dead job again."""
    principal, why = await _asked(request, Why)
    letter = uuid_param(request.path_params["letter_id"], "letter_id")
    async with operator_action(request, principal) as conn:
        job_id = await dead_letters.retry(conn, letter, why.reason)
    await context_of(request).queue.ring()
    return json_response({"job_id": job_id})


async def discard(request: Request) -> Response:
    """Let one dead job go."""
    principal, why = await _asked(request, Why)
    letter = uuid_param(request.path_params["letter_id"], "letter_id")
    async with operator_action(request, principal) as conn:
        job_id = await dead_letters.discard(conn, letter, why.reason)
    return json_response({"job_id": job_id})


async def retry_cause(request: Request) -> Response:
    """Queue the oldest dead jobs of this cause again; answers {done, kept, next}, to go on at `next`."""
    answer = await _each_of_cause(request, dead_letters.retry)
    await context_of(request).queue.ring()
    return json_response(answer)


async def discard_cause(request: Request) -> Response:
    """Let the oldest go that died of this; answers as the retry does."""
    return json_response(await _each_of_cause(request, dead_letters.discard))


async def pause(request: Request) -> Response:
    """Start no more jobs of a type."""
    principal, wanted = await _asked(request, Switch)
    async with operator_action(request, principal) as conn:
        await queue_control.pause(conn, wanted.name, wanted.reason, None)
    return json_response({"paused": wanted.name})


async def resume(request: Request) -> Response:
    """Start them again, or close an engine's breaker."""
    principal, wanted = await _asked(request, Switch)
    async with operator_action(request, principal) as conn:
        was_paused = await queue_control.resume(conn, wanted.name, wanted.reason)
    return json_response({"resumed": wanted.name, "was_paused": was_paused})


async def set_flag(request: Request) -> Response:
    """Turn a tenant's flag on or off; answers {now}."""
    principal, wanted = await _asked(request, FlagOf)
    async with operator_action(request, principal) as conn:
        now = await flags.set_flag(conn, wanted.tenant_id, wanted.flag, wanted.reason, on=wanted.on)
    context_of(request).flags.forget(str(wanted.tenant_id))
    return json_response({"now": now})


async def kill(request: Request) -> Response:
    """Turn a flag off for everybody, and remember the tenants that had it on."""
    principal, wanted = await _asked(request, KillOf)
    async with operator_action(request, principal) as conn:
        kept = await flags.kill(conn, wanted.flag, wanted.reason)
    return json_response({"tenants": kept})


async def restore(request: Request) -> Response:
    """Turn a killed flag on again for those it was on for."""
    principal, wanted = await _asked(request, KillOf)
    async with operator_action(request, principal) as conn:
        kept = await flags.restore(conn, wanted.flag, wanted.reason)
    return json_response({"tenants": kept})


async def _asked(request: Request, model: type[Asked]) -> tuple[Principal, Asked]:
    """Return the calling operator and the reason; others are refused before anything is read. As `operator_of`."""
    principal = await operator_of(request)
    return principal, await read_json(request, model)


async def _each_of_cause(request: Request, action: dead_letters.Action) -> dict[str, Any]:
    """Do it to each of a batch; one that cannot be done keeps no other back."""
    principal, wanted = await _asked(request, OfCause)
    kind = dead_letters.Kind(wanted.job_type, wanted.error_code, wanted.cause)
    async with operator_action(request, principal) as conn:
        batch = await dead_letters.attempt_batch(conn, action, kind, wanted.reason, after=wanted.after)
    kept = sum(each.why_kept is not None for each in batch)
    more = batch[-1].letter_id if len(batch) == dead_letters.BATCH else None
    return {"done": len(batch) - kept, "kept": kept, "next": more}


routes = [
    Route("/ops/dead/retry", retry_cause, methods=["POST"]),
    Route("/ops/dead/discard", discard_cause, methods=["POST"]),
    Route("/ops/dead/{letter_id}/retry", retry, methods=["POST"]),
    Route("/ops/dead/{letter_id}/discard", discard, methods=["POST"]),
    Route("/ops/queue/pause", pause, methods=["POST"]),
    Route("/ops/queue/resume", resume, methods=["POST"]),
    Route("/ops/flags/set", set_flag, methods=["POST"]),
    Route("/ops/flags/kill", kill, methods=["POST"]),
    Route("/ops/flags/restore", restore, methods=["POST"]),
]

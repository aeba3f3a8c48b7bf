"""JSON bodies: requests checked, answers written."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import orjson
from pydantic import BaseModel, StringConstraints, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from config.logging import note
from gateway.http.input.field_errors import explain
from store.errors import InvalidInput, Stalled, TooLarge, Unprocessable, UnsupportedType

Model = TypeVar("Model", bound=BaseModel)

Trimmed = StringConstraints(strip_whitespace=True)

JSON_BYTES = 64 * 1024
# Far more than any of our bodies, and less than what the JSON encoders below us give up at.
JSON_DEPTH = 50
# A phone with one bar pauses for seconds; one that is gone never comes back.
STALL_SECONDS = 30.0
# Whoever sends on for a minute sends at least this much: GPRS does four times as well, a byte now and then is no body.
PACE_SECONDS, PACE_BYTES = 60.0, 16 * 1024
_DASHED = 36
# Where a request keeps what is to be asked again while its body arrives: whether the sender may still send.
RECHECK = "scopekit.recheck"
_OUT = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


async def read_json(request: Request, model: type[Model], *, limit: int = JSON_BYTES) -> Model:
    """Read the body as `model`; an empty body is `{}`.

    Raises `UnsupportedType` for another content type, `TooLarge` past `limit` bytes, `Stalled` when the rest does not
    come, `InvalidInput` for broken or too deeply nested JSON, and `Unprocessable`, with `errors: [{field, message}]`,
    for values that do not fit.
    """
    _require_json(request)
    body = await read_body(request, limit=limit)
    try:
        value = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as error:
        raise InvalidInput(
            f"The body is not JSON: see line {error.lineno}, column {error.colno}.", code="invalid_json"
        ) from None
    if not isinstance(value, dict):
        raise InvalidInput("The body must be a JSON object.", code="invalid_json")
    _require_storable(value)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Unprocessable("Some fields cannot be used; see errors.", errors=explain(error)) from None


async def read_body(request: Request, *, limit: int) -> bytes:
    """Read a small body whole.

    Raises `TooLarge` past `limit` bytes, before reading when the client says so, and `Stalled` as `arriving` does.
    """
    if (declared_length(request) or 0) > limit:
        raise TooLarge(f"The body may have at most {limit} bytes.", limit=limit)
    body = bytearray()
    async with aclosing(arriving(request)) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > limit:
                raise TooLarge(f"The body may have at most {limit} bytes.", limit=limit)
    return bytes(body)


async def arriving(request: Request) -> AsyncGenerator[bytes, None]:
    """Yield the body as it comes.

    Raises `Stalled` when no more comes for 30 s, less than 16 KiB in a minute of waiting, or the sender is gone, and
    the errors of the check under `RECHECK`, for a sender that may not send any more.
    """
    pace, recheck = _Pace(), request.scope.get(RECHECK)
    async with aclosing(request.stream()) as stream:
        while True:
            began = time.monotonic()
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    chunk = await anext(stream, None)
            except TimeoutError:
                raise Stalled(f"Nothing arrived for {STALL_SECONDS:g} s. Send it again.") from None
            except ClientDisconnect:
                raise Stalled("The connection closed before the body was complete.") from None
            if not chunk:
                return
            pace.keep(time.monotonic() - began, len(chunk))
            if recheck is not None:
                await recheck()
            yield chunk


class _Pace:
    """How much has come while we waited; the time that we ourselves took is nobody's slowness."""

    def __init__(self) -> None:
        self._waited = 0.0
        self._came = 0

    def keep(self, waited: float, came: int) -> None:
        """Count one wait. Raises `Stalled` when a minute of waiting brought too little."""
        self._waited += waited
        self._came += came
        if self._waited < PACE_SECONDS:
            return
        if self._came < PACE_BYTES:
            raise Stalled(f"Less than {PACE_BYTES} bytes arrived within {PACE_SECONDS:g} s. Send it again.")
        self._waited, self._came = 0.0, 0


def declared_length(request: Request) -> int | None:
    """Content-Length, or None without one. Raises `InvalidInput` when it is no number."""
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise InvalidInput("Content-Length must be a number of bytes.")
    return int(text)


def uuid_param(value: str, name: str) -> UUID:
    """Read a UUID in its usual dashed form; `name` is how the caller knows it, and the log. Raises `InvalidInput`."""
    try:
        if len(value) == _DASHED:
            found = UUID(value)
            note(**{name: found})
            return found
    except ValueError:
        pass
    detail = f"{name} must be a UUID such as 0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90."
    raise InvalidInput(detail, code="invalid_parameter", field=name)


def int_param(value: str | None, name: str, *, low: int, high: int) -> int | None:
    """Read a whole number within `low..high`, None when absent. Raises `InvalidInput`."""
    if value is None or value == "":
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= len(str(high)) and low <= int(text) <= high:
        return int(text)
    raise InvalidInput(f"{name} must be a whole number from {low} to {high}.", code="invalid_parameter", field=name)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON: Decimal and UUID as strings, times as ISO-8601 in UTC with Z, a Record as an object."""
    return Response(json_bytes(value), status, headers, media_type="application/json")


def json_bytes(value: Any) -> bytes:
    """Encode as `json_response` does."""
    return orjson.dumps(value, default=_plain, option=_OUT)


def _require_json(request: Request) -> None:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedType("Send the body as application/json.")


def _require_storable(value: Any, depth: int = JSON_DEPTH) -> None:
    if isinstance(value, str) and "\0" in value:
        raise InvalidInput("The body holds the character U+0000, which cannot be stored.", code="value_not_storable")
    if not isinstance(value, dict | list):
        return
    if depth == 0:
        raise InvalidInput(f"The body may be nested at most {JSON_DEPTH} levels deep.", code="invalid_json")
    for item in (*value.keys(), *value.values()) if isinstance(value, dict) else value:
        _require_storable(item, depth - 1)


def _plain(value: Any) -> Any:
    match value:
        case Decimal():
            return format(value, "f")
        case UUID():  # asyncpg's own subclass
            return str(value)
        case asyncpg.Record():
            return dict(value)
        case set() | frozenset():
            return sorted(value)
        case _ if hasattr(value, "model_dump"):
            return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON form")

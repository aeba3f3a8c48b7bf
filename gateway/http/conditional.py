"""Conditional requests by RFC 9110: ETags, If-Match for edits, If-None-Match for reads. Pure but for its answers."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.http.body import json_bytes, json_response
from store.errors import InvalidInput, PreconditionFailed, PreconditionRequired

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_LIST = re.compile(rf"^\s*(?:,\s*)*{_TAG}(?:\s*,\s*(?:{_TAG})?)*\s*$")
_TAGS = re.compile(_TAG)
_NOT_MODIFIED_KEEPS = ("etag", "cache-control", "vary", "link")


def etag_of(value: Any) -> str:
    """Return the strong ETag of a value's JSON."""
    return f'"{hashlib.sha256(json_bytes(value)).hexdigest()[:32]}"'


def require_match(request: Request, *current: str, required: bool = False) -> None:
    """Pass when If-Match names one of the current ETags, is `*`, or is absent and not required.

    Raises `PreconditionRequired`, `PreconditionFailed`, and `InvalidInput` for a header that is no list of ETags.
    """
    header = request.headers.get("if-match")
    if header is None:
        if required:
            raise PreconditionRequired("Send the ETag of what you edited as If-Match.", field="if-match")
        return
    tags = _tags(header, "if-match")
    # A weak ETag never matches here: the comparison is strong.
    if tags is not None and not set(tags) & set(current):
        raise PreconditionFailed("It was changed since you read it. Read it again and make the change there.")


def tagged_response(
    request: Request,
    value: Any,
    *,
    etag: str | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with JSON and its ETag; 304 to a GET whose If-None-Match names it."""
    etag = etag or etag_of(value)
    response = json_response(value, status, {**(headers or {}), "etag": etag})
    if request.method not in ("GET", "HEAD") or not _has(request, etag):
        return response
    kept = {name: value for name, value in response.headers.items() if name in _NOT_MODIFIED_KEEPS}
    return Response(status_code=304, headers=kept)


def _has(request: Request, etag: str) -> bool:
    """Tell whether the client has this already; the comparison is weak."""
    header = request.headers.get("if-none-match")
    if header is None:
        return False
    tags = _tags(header, "if-none-match")
    return tags is None or etag in {tag.removeprefix("W/") for tag in tags}


def _tags(header: str, name: str) -> list[str] | None:
    """Read a list of ETags; None for `*`. Raises `InvalidInput`."""
    if header.strip() == "*":
        return None
    if not _LIST.match(header):
        detail = f'{name} must be `*` or a list of ETags, each in quotes, such as "3".'
        raise InvalidInput(detail, code="invalid_parameter", field=name)
    return _TAGS.findall(header)

"""Pages of a list: `limit`, `after` and `has_more`, by a cursor that says where the last page ended. Pure."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request

from gateway.http.body import int_param, json_bytes
from store.errors import InvalidInput

CURSOR_LENGTH = 1024
_CHECK_SUM_BYTES = 6


@dataclass(frozen=True)
class Page:
    """The page that a request asks for: how many rows, and behind which position; the first page has none."""

    limit: int
    after: tuple[Any, ...] | None

    @property
    def reach(self) -> int:
        """How many rows to read: one more than are answered tells whether there are more."""
        return self.limit + 1

    def answer(
        self,
        name: str,
        rows: Sequence[Any],
        position: Callable[[Any], Sequence[Any]],
        shape: Callable[[Any], Any] = lambda row: row,
    ) -> dict[str, Any]:
        """Return {name: [...], has_more, next}: `next` is the `after` of the next page, null on the last one."""
        shown, has_more = rows[: self.limit], len(rows) > self.limit
        following = cursor(position(shown[-1])) if has_more else None
        return {name: [shape(row) for row in shown], "has_more": has_more, "next": following}


def read_page(request: Request, *kinds: Callable[[Any], Any], usual: int = 50, most: int = 200) -> Page:
    """Read `limit` and `after`; `kinds` read each part of a position.

    Raises `InvalidInput` for a limit out of range, and for a cursor that no page gave.
    """
    limit = int_param(request.query_params.get("limit"), "limit", low=1, high=most) or usual
    return Page(limit, read_cursor(request.query_params.get("after"), *kinds))


def cursor(position: Sequence[Any]) -> str:
    """Write a position as an opaque word; a check sum before it shows a word that was cut or changed."""
    body = json_bytes(list(position))
    return _word(_check_sum(body) + body)


def read_cursor(word: str | None, *kinds: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """Read a position; None when absent. Raises `InvalidInput` for a word that `cursor` did not write."""
    if not word:
        return None
    try:
        parts = orjson.loads(_checked(word))
        return tuple(kind(part) for kind, part in zip(kinds, parts, strict=True))
    except (ValueError, TypeError, binascii.Error, AttributeError, OverflowError):
        detail = "`after` must be the `next` of a page of this list."
        raise InvalidInput(detail, code="invalid_parameter", field="after") from None


def _checked(word: str) -> bytes:
    body = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True)[_CHECK_SUM_BYTES:]
    if len(word) > CURSOR_LENGTH or _word(_check_sum(body) + body) != word:
        raise ValueError(word)
    return body


def _check_sum(body: bytes) -> bytes:
    return hashlib.blake2s(body, digest_size=_CHECK_SUM_BYTES).digest()


def _word(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")

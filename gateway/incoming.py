"""A file as it arrives: counted, timed and recognised before it is believed."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from urllib.parse import unquote
from uuid import UUID

from starlette.requests import ClientDisconnect, Request

from gateway.body import declared_length, int_param
from store.content import HEAD_BYTES, ContentType, require_agreement
from store.errors import InvalidInput, Stalled, TooLarge, Unprocessable
from store.objects import MEDIA_BYTES

# A phone with one bar pauses for seconds; one that is gone never comes back.
STALL_SECONDS = 30.0

NAME_LENGTH = 255
LABEL_LENGTH = 1000
_INTEGER = 2**31 - 1
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def refuse_by_length(request: Request) -> None:
    """Refuse by Content-Length, before a byte is read. Raises `TooLarge`, and `Unprocessable` for an empty file."""
    length = declared_length(request)
    if length is not None and length > MEDIA_BYTES:
        raise _too_large()
    if length == 0:
        raise _empty()


async def receive(request: Request, kind: ContentType) -> AsyncGenerator[bytes, None]:
    """Yield the body, once its first bytes have shown that it is of this kind.

    Raises `UnsupportedType` when they do not, `TooLarge` past 100 MiB, `Unprocessable` when there are none and
    `Stalled` when no more come.
    """
    size, head = 0, b""
    async with aclosing(_arriving(request)) as chunks:
        async for chunk in chunks:
            size += len(chunk)
            if size > MEDIA_BYTES:
                raise _too_large()
            if size - len(chunk) >= HEAD_BYTES:
                yield chunk
                continue
            head += chunk
            if len(head) >= HEAD_BYTES:
                require_agreement(kind, head)
                yield head
    if not size:
        raise _empty()
    if size < HEAD_BYTES:
        require_agreement(kind, head)
        yield head


def words(headers: Mapping[str, str]) -> tuple[str, str]:
    """Read x-file-name and x-label, both percent-encoded UTF-8; a name keeps its last 255 characters.

    Raises `InvalidInput`.
    """
    return file_name(_decoded(headers, "x-file-name")), label(_decoded(headers, "x-label"))


def numbers(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Read x-sequence and x-duration-ms. Raises `InvalidInput`."""
    return (
        int_param(headers.get("x-sequence"), "x-sequence", low=0, high=_INTEGER),
        int_param(headers.get("x-duration-ms"), "x-duration-ms", low=0, high=_INTEGER),
    )


def file_name(text: str) -> str:
    """Return a client's file name as a label: no folders, nothing invisible. It never becomes a key."""
    return _CONTROL.sub("", re.split(r"[\\/]", text)[-1]).strip()[-NAME_LENGTH:]


def label(text: str) -> str:
    """Return a label without invisible characters. Raises `InvalidInput` past 1,000 characters."""
    clean = _CONTROL.sub(" ", text).strip()
    if len(clean) > LABEL_LENGTH:
        raise InvalidInput(f"A label may have at most {LABEL_LENGTH} characters.", field="x-label")
    return clean


def media_id_of(text: str | None) -> UUID | None:
    """Read x-media-id in any form of a UUID. Raises `InvalidInput`."""
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput("x-media-id must be a UUID.", field="x-media-id") from None


async def _arriving(request: Request) -> AsyncGenerator[bytes, None]:
    async with aclosing(request.stream()) as stream:
        while True:
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    chunk = await anext(stream, None)
            except TimeoutError:
                raise Stalled(f"Nothing arrived for {STALL_SECONDS:g} s. Send the file again.") from None
            except ClientDisconnect:
                raise Stalled("The connection closed before the file was complete.") from None
            if chunk is None:
                return
            if chunk:
                yield chunk


def _decoded(headers: Mapping[str, str], name: str) -> str:
    try:
        return unquote(headers.get(name, ""), errors="strict")
    except UnicodeDecodeError:
        raise InvalidInput(f"{name} must be percent-encoded UTF-8.", field=name) from None


def _too_large() -> TooLarge:
    return TooLarge(f"A file may have at most {MEDIA_BYTES} bytes (100 MiB).", limit=MEDIA_BYTES)


def _empty() -> Unprocessable:
    return Unprocessable("The file is empty.")

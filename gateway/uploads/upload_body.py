"""A file as it arrives: counted, timed, and its first bytes looked at before any is believed."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from urllib.parse import unquote
from uuid import UUID

from starlette.requests import Request

from gateway.http.body import arriving, declared_length, int_param
from store.errors import InvalidInput, TooLarge, Unprocessable, UnsupportedType
from store.objects.checksum import Checksum
from store.objects.content import HEAD_BYTES
from store.objects.objects import MEDIA_BYTES

NAME_LENGTH = 255
LABEL_LENGTH = 1000
TYPE_LENGTH = 255
INTEGER = 2**31 - 1
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def refuse_by_length(request: Request) -> None:
    """Refuse by Content-Length, before a byte is read. Raises `TooLarge`, and `Unprocessable` for an empty file."""
    length = declared_length(request)
    if length is not None and length > MEDIA_BYTES:
        raise too_large()
    if length == 0:
        raise empty()


@asynccontextmanager
async def receiving(request: Request) -> AsyncIterator[tuple[bytes, AsyncGenerator[bytes, None]]]:
    """Lend a body's first bytes, enough to tell its type, and all of it piece by piece, these first.

    Raises `TooLarge` past 100 MiB, `Unprocessable` when there is nothing, `Stalled` when no more comes, `Damaged` when
    it is not what Content-MD5 says, and `UnsupportedType` for a form.
    """
    if declared_type(request.headers).lower().startswith("multipart/"):
        raise UnsupportedType("The file came inside a form. Send the file itself as the body of the request.")
    async with aclosing(counted(_verified(request))) as body:
        head = b""
        async for chunk in body:
            head += chunk
            if len(head) >= HEAD_BYTES:
                break
        async with aclosing(_behind(head, body)) as chunks:
            yield head[:HEAD_BYTES], chunks


async def counted(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of one file. Raises `TooLarge` past 100 MiB, `Unprocessable` when there are none."""
    size = 0
    async with aclosing(chunks):
        async for chunk in chunks:
            size += len(chunk)
            if size > MEDIA_BYTES:
                raise too_large()
            yield chunk
    if not size:
        raise empty()


def declared_type(headers: Mapping[str, str]) -> str:
    """Return the sender's name of the file: a fact about the sender, cut to what is kept of it."""
    return called(headers.get("content-type", ""))


def called(text: str) -> str:
    """Return a declared type without invisible characters, cut to what is kept of it."""
    return _CONTROL.sub("", text).strip()[:TYPE_LENGTH]


def words(headers: Mapping[str, str]) -> tuple[str, str]:
    """Read x-file-name and x-label, both percent-encoded UTF-8; a name keeps its last 255 characters.

    Raises `InvalidInput`.
    """
    return file_name(_decoded(headers, "x-file-name")), label(_decoded(headers, "x-label"))


def numbers(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Read x-sequence and x-duration-ms. Raises `InvalidInput`."""
    return (
        int_param(headers.get("x-sequence"), "x-sequence", low=0, high=INTEGER),
        int_param(headers.get("x-duration-ms"), "x-duration-ms", low=0, high=INTEGER),
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


def content_md5(headers: Mapping[str, str]) -> Checksum | None:
    """Read Content-MD5. Raises `InvalidInput`."""
    return Checksum.of_md5(headers.get("content-md5"))


async def _verified(request: Request) -> AsyncGenerator[bytes, None]:
    checksum = content_md5(request.headers)
    async with aclosing(arriving(request)) as body:
        async for chunk in body:
            if checksum is not None:
                checksum.update(chunk)
            yield chunk
    if checksum is not None:
        checksum.verify()


async def _behind(head: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    if head:
        yield head
    async for chunk in rest:
        yield chunk


def _decoded(headers: Mapping[str, str], name: str) -> str:
    try:
        return unquote(headers.get(name, ""), errors="strict")
    except UnicodeDecodeError:
        raise InvalidInput(f"{name} must be percent-encoded UTF-8.", field=name) from None


def too_large() -> TooLarge:
    """Say how large a file may be."""
    return TooLarge(f"A file may have at most {MEDIA_BYTES} bytes (100 MiB).", limit=MEDIA_BYTES)


def empty() -> Unprocessable:
    """Say that there is nothing in it."""
    return Unprocessable("The file is empty.", code="file_unusable")

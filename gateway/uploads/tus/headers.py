"""The headers of tus 1.0 (tus.io/protocols/resumable-upload), read and written. Pure."""

import base64
import binascii
from collections.abc import Mapping
from email.utils import format_datetime
from uuid import UUID

from gateway.http.body import int_param
from gateway.uploads.upload_body import INTEGER, called, file_name, label, too_large
from store.errors import InvalidInput, Unprocessable, UnsupportedType
from store.objects.checksum import ALGORITHMS
from store.objects.objects import MEDIA_BYTES
from store.pool import Record
from store.uploads.resumables import Announced

VERSION = "1.0.0"
EXTENSIONS = ("creation", "creation-with-upload", "termination", "checksum", "expiration")
CHUNK_TYPE = "application/offset+octet-stream"
METADATA_BYTES = 8192

CAPABILITIES = {
    "tus-version": VERSION,
    "tus-extension": ",".join(EXTENSIONS),
    "tus-max-size": str(MEDIA_BYTES),
    "tus-checksum-algorithm": ",".join(ALGORITHMS),
}


def announced_length(headers: Mapping[str, str]) -> int:
    """Read Upload-Length.

    Raises `InvalidInput` without one, `Unprocessable` for an empty file, `TooLarge` past 100 MiB.
    """
    text = headers.get("upload-length", "")
    if not (text.isascii() and text.isdigit()):
        raise InvalidInput("Say the file's size in Upload-Length; it cannot be deferred.", field="upload-length")
    length = int(text[:20])
    if length > MEDIA_BYTES:
        raise too_large()
    if length == 0:
        raise Unprocessable("The file is empty.", code="file_unusable")
    return length


def offset_of(headers: Mapping[str, str]) -> int:
    """Read Upload-Offset. Raises `InvalidInput`."""
    offset = int_param(headers.get("upload-offset"), "Upload-Offset", low=0, high=MEDIA_BYTES)
    if offset is None:
        raise InvalidInput("Say in Upload-Offset where these bytes belong.", field="upload-offset")
    return offset


def require_chunk_type(headers: Mapping[str, str]) -> None:
    """Raise `UnsupportedType` unless the body is a chunk of tus."""
    if not is_chunk(headers):
        raise UnsupportedType(f"Send the bytes as {CHUNK_TYPE}.")


def is_chunk(headers: Mapping[str, str]) -> bool:
    """Tell whether the body is a chunk of tus; some clients add a charset to its type."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() == CHUNK_TYPE


def refuse_concatenation(headers: Mapping[str, str]) -> None:
    """Raise `InvalidInput` for a part of a file, or a file of parts: each would become a medium of its own."""
    if "upload-concat" in headers:
        raise InvalidInput(
            "Uploads are not put together here. Send the file as one upload, without Upload-Concat.",
            field="upload-concat",
        )


class Metadata:
    """Upload-Metadata: a client's facts on its file, and their spelling."""

    def __init__(self, raw: str) -> None:
        if len(raw) > METADATA_BYTES:
            raise InvalidInput(f"Upload-Metadata may have at most {METADATA_BYTES} bytes.", field="upload-metadata")
        self.raw = raw
        self._values = dict(_pair(part.strip()) for part in raw.split(",") if part.strip())

    @property
    def visit_id(self) -> UUID:
        """Where the file belongs."""
        found = self._uuid("visit_id")
        if found is None:
            raise InvalidInput("Name the visit in Upload-Metadata: visit_id.", field="visit_id")
        return found

    @property
    def media_id(self) -> UUID | None:
        """The medium's id, if the client chose one."""
        return self._uuid("media_id")

    @property
    def content_type(self) -> str:
        """`content_type`, or `filetype` as most clients name it; empty when the client does not know."""
        return called(self._values.get("content_type") or self._values.get("filetype", ""))

    @property
    def name(self) -> str:
        """`filename`, as a label."""
        return file_name(self._values.get("filename", ""))

    @property
    def label(self) -> str:
        """`label`, without invisible characters."""
        return label(self._values.get("label", ""))

    @property
    def sha256(self) -> str | None:
        """`sha256` in hex, if the client knows it."""
        text = self._values.get("sha256")
        if text is not None and (len(text) != 64 or set(text) - set("0123456789abcdef")):  # noqa: PLR2004
            raise InvalidInput("sha256 must be 64 hex digits in lower case.", field="sha256")
        return text

    def number(self, name: str) -> int | None:
        """`sequence` or `duration_ms`."""
        return int_param(self._values.get(name), name, low=0, high=INTEGER)

    def announced(self, length: int) -> Announced:
        """Return what is kept of it beside the draft."""
        return Announced(length, self.sha256, self.raw)

    def _uuid(self, name: str) -> UUID | None:
        text = self._values.get(name)
        if not text:
            return None
        try:
            return UUID(text)
        except ValueError:
            raise InvalidInput(f"{name} must be a UUID.", field=name) from None


def progress_headers(row: Record) -> dict[str, str]:
    """Say where an upload stands, and until when it can go on."""
    expires = format_datetime(row["expires_at"], usegmt=True)
    return {"upload-offset": str(row["received"]), "upload-expires": expires, "cache-control": "no-store"}


def _pair(part: str) -> tuple[str, str]:
    name, _, encoded = part.partition(" ")
    try:
        return name, base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidInput(f"Upload-Metadata: `{name[:64]}` is not Base64 of UTF-8.", field="upload-metadata") from None

"""`/openapi.json` on photos and recordings, and of the ways they come in."""

from typing import Literal
from uuid import UUID

from gateway.openapi.operation import (
    BYTES,
    TEXT,
    UUID_TEXT,
    Answer,
    Operation,
    PageOf,
    Param,
    Schema,
    Shape,
    gives,
    header,
    paged,
    takes_json,
    whole_number,
)
from gateway.openapi.values import EpochMs, MediaType, Moment, Sha256
from gateway.uploads import media, recordings, uploads
from gateway.uploads.tus.headers import CHUNK_TYPE, VERSION
from gateway.uploads.upload_body import INTEGER, LABEL_LENGTH
from store.media.media import EDGES
from store.media.recordings import LAST_SEQUENCE
from store.objects.content import ALL_TYPES, UNKNOWN
from store.objects.objects import MEDIA_BYTES


class OriginalFile(Shape):
    """A file as it was sent, where it had to be turned into another type."""

    content_type: str
    file_size: int
    sha256: Sha256


class Medium(Shape):
    """A photo or recording: `content_type` is the type of its bytes, `declared_type` its sender's word for them.

    `problem` says why it cannot be used, `note` names a fault of one that can be used all the same.
    """

    id: UUID
    visit_id: UUID
    media_type: MediaType
    content_type: str
    declared_type: str
    file_size: int
    sha256: Sha256
    original_name: str
    label: str
    sequence: int | None
    duration_ms: int | None
    width: int | None
    height: int | None
    status: Literal["stored", "needs_attention"]
    problem: str | None
    note: str | None
    created_at: Moment
    original: OriginalFile | None


class Media(PageOf):
    """In the order they were taken."""

    media: list[Medium]


class Held(Shape):
    """A file the visit holds."""

    sha256: Sha256
    media_id: UUID


class Lacking(Shape):
    """The media that the visit lacks of those asked for, and those that it holds."""

    missing: list[Sha256]
    present: list[Held]


class SignedUrl(Shape):
    """An original, for a service that looks at it for us."""

    media_id: UUID
    type: MediaType
    url: str
    expires_at: EpochMs


class SignedUrls(PageOf):
    """One for each medium, in the order they were taken."""

    urls: list[SignedUrl]


class PostForm(Shape):
    """A form that posts one file straight to the store."""

    media_id: UUID
    url: str
    fields: dict[str, str]
    expires_at: EpochMs


class KeptChunk(Shape):
    """A chunk that is safe."""

    recording_id: UUID
    sequence: int
    file_size: int
    sha256: Sha256


def _percent_encoded(longest: int) -> Schema:
    return {"type": "string", "pattern": r"^[A-Za-z0-9._~%-]*$", "maxLength": longest}


_TUS = header("Tus-Resumable", {"type": "string", "enum": [VERSION]}, "The version of tus.", required=True)
_OFFSET = header("Upload-Offset", whole_number(0, MEDIA_BYTES), "Where these bytes belong.")
_CHECKSUM = header("Upload-Checksum", TEXT, "An algorithm and the Base64 of what it gives: `sha1 ...`.")
_MD5 = header("Content-MD5", TEXT, "The Base64 of the body's MD5: other bytes are refused.")
_SEQUENCE = header("x-sequence", whole_number(0, INTEGER), "The order in the visit.")
_DURATION = header("x-duration-ms", whole_number(0, INTEGER), "How long a recording is.")
_SAYS_TUS = {"tus-resumable": "The version of tus."}
_STANDS = _SAYS_TUS | {"upload-offset": "How much is safe.", "upload-expires": "Until when it can go on."}
# Whatever it is called: its bytes say what it is.
_FILE = dict.fromkeys((*ALL_TYPES, UNKNOWN.name), BYTES)
_SOUND = dict.fromkeys((*(name for name, kind in ALL_TYPES.items() if kind.media_type == "audio"), UNKNOWN.name), BYTES)
_CHUNK = {CHUNK_TYPE: BYTES}
_NEW = {"location": "Where its bytes are."}


def _bare(status: int, text: str, headers: dict[str, str]) -> dict[int, Answer]:
    return {status: Answer(text, {}, headers)}


_CAPABILITIES = Operation(
    _bare(204, "What of tus is spoken here.", _SAYS_TUS | {"tus-version": "Versions.", "tus-extension": "Extensions."}),
    "nobody",
)
_OF_UPLOAD = (404, 409, 410, 412, 423, 460)

OPERATIONS = {
    "GET /v1/visits/{visit_id}/media": Operation(gives(Media), params=paged(1000)),
    "POST /v1/visits/{visit_id}/media": Operation(
        gives(Medium, 200, text="This id held these bytes already.") | gives(Medium, 201, headers=_NEW),
        takes=_FILE,
        must_take=True,
        params=(
            header("x-media-id", UUID_TEXT, "An id of the client's choice: the same file again is the first one."),
            header("x-file-name", _percent_encoded(1024), "The file's name, percent-encoded."),
            header("x-label", _percent_encoded(LABEL_LENGTH), "Words to it, percent-encoded."),
            _SEQUENCE,
            _DURATION,
            _MD5,
        ),
        refuses=(409, 422, 460),
        limited=True,
    ),
    "POST /v1/visits/{visit_id}/media/presign": Operation(
        gives(PostForm, 201, headers={"location": "The medium, once it is complete."}),
        takes=takes_json(uploads.PresignRequest),
        must_take=True,
        refuses=(409,),
        limited=True,
    ),
    "POST /v1/visits/{visit_id}/media/{media_id}/complete": Operation(
        gives(Medium, 200, text="It was one already.") | gives(Medium, 201, headers=_NEW), refuses=(409, 413, 415, 422)
    ),
    "POST /v1/visits/{visit_id}/media/check": Operation(gives(Lacking), takes=takes_json(media.Hashes), must_take=True),
    "GET /v1/visits/{visit_id}/media/urls": Operation(gives(SignedUrls), params=paged(1000)),
    "GET /v1/media/{media_id}": Operation(gives(Medium), conditional=True),
    "PATCH /v1/media/{media_id}": Operation(
        gives(Medium), takes=takes_json(media.Label), must_take=True, conditional=True
    ),
    "DELETE /v1/media/{media_id}": Operation({204: Answer("It is gone.")}, conditional=True),
    "GET /v1/media/{media_id}/content": Operation(
        _bare(302, "Where the bytes are, for a while.", {"location": "A signed URL."}),
        params=(Param("size", {"enum": [*EDGES, media.ORIGINAL]}, "A photo's JPEG, or the file as it was sent."),),
        refuses=(422,),
    ),
    "POST /v1/visits/{visit_id}/recordings/{recording_id}/chunks": Operation(
        gives(KeptChunk, 200, text="Its place held these bytes already.")
        | gives(KeptChunk, 201, headers={"location": "The recording."}),
        takes=_SOUND,
        must_take=True,
        params=(header("x-sequence", whole_number(0, LAST_SEQUENCE), "Which chunk this is.", required=True), _MD5),
        refuses=(409, 422, 460),
        limited=True,
    ),
    "POST /v1/visits/{visit_id}/recordings/{recording_id}/finalize": Operation(
        gives(Medium, 200, text="It is a medium already.") | gives(Medium, 201, headers=_NEW),
        takes=takes_json(recordings.Finalize),
        refuses=(409,),
    ),
    "DELETE /v1/visits/{visit_id}/recordings/{recording_id}": Operation({204: Answer("Its chunks are gone.")}),
    "OPTIONS /v1/uploads": _CAPABILITIES,
    "OPTIONS /v1/uploads/{upload_id}": _CAPABILITIES,
    "POST /v1/uploads": Operation(
        _bare(201, "It may come.", _STANDS | {"location": "The upload."}),
        takes=_CHUNK,
        params=(
            _TUS,
            header("Upload-Length", whole_number(1, MEDIA_BYTES), "The file's size.", required=True),
            header("Upload-Metadata", TEXT, "Names and Base64: `visit_id` at least.", required=True),
            _CHECKSUM,
        ),
        refuses=(*_OF_UPLOAD, 422),
        limited=True,
    ),
    "HEAD /v1/uploads/{upload_id}": Operation(
        _bare(200, "How much is safe.", _STANDS | {"upload-length": "The file's size."}),
        params=(_TUS,),
        refuses=(*_OF_UPLOAD, 413, 415, 422),
    ),
    "PATCH /v1/uploads/{upload_id}": Operation(
        _bare(204, "How much is safe now.", _STANDS),
        takes=_CHUNK,
        must_take=True,
        params=(_TUS, _OFFSET, _CHECKSUM),
        refuses=(*_OF_UPLOAD, 422),
    ),
    "DELETE /v1/uploads/{upload_id}": Operation(
        _bare(204, "It is ended.", _SAYS_TUS), params=(_TUS,), refuses=(*_OF_UPLOAD,)
    ),
    "POST /v1/uploads/{upload_id}": Operation(
        _bare(200, "For HEAD: how much is safe.", _STANDS) | _bare(204, "Done.", _SAYS_TUS),
        takes=_CHUNK,
        params=(
            _TUS,
            _OFFSET,
            _CHECKSUM,
            header("X-HTTP-Method-Override", {"enum": ["HEAD", "PATCH", "DELETE"]}, "What to do.", required=True),
        ),
        refuses=(*_OF_UPLOAD, 422),
    ),
}

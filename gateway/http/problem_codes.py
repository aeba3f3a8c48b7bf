"""Problem codes: the stable names of every way in which a request can fail, each with its page under `/problems/`.

A program reads `code`, or `type`, which is the address of the page. `detail` is for people and may change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

# tus's own, which HTTP has no name for.
CHECKSUM_MISMATCH = 460

PAGES = "/problems/"

Schema = Mapping[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_UUID: Schema = {"type": "string", "format": "uuid"}
_LINE_CHANGES: Schema = {"type": "array", "items": {"$ref": "#/components/schemas/LineChange"}}
_TERM_CHANGES: Schema = {"type": "array", "items": {"$ref": "#/components/schemas/TermChange"}}
_RETRY_AFTER: Mapping[str, Schema] = {
    "retry_after": {**_COUNT, "description": "Seconds to wait, as in the header Retry-After."}
}
_FIELD_ERRORS: Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["message"],
        "properties": {
            "field": {"type": "string", "description": "The path of the field, such as `lines.0.quantity`."},
            "line": {"type": "integer", "description": "The line of an imported file."},
            "message": {"type": "string", "description": "A sentence for the person at the form."},
        },
    },
}
_LATEST: Schema = {
    "type": "object",
    "required": ["id", "version", "content_hash", "created_at"],
    "properties": {
        "id": _UUID,
        "version": {"type": "integer"},
        "content_hash": _TEXT,
        "created_at": {"type": "string", "format": "date-time"},
    },
}


@dataclass(frozen=True)
class ProblemCode:
    """One way to fail: its status and title, the remedy, and the members that its documents have beside the usual."""

    status: int
    title: str
    remedy: str
    members: Mapping[str, Schema] = field(default_factory=dict)


def _field_member() -> Mapping[str, Schema]:
    return {"field": {"type": "string", "description": "The parameter, header or field that cannot be used."}}


CODES: Mapping[str, ProblemCode] = {
    # What was sent
    "invalid_request": ProblemCode(400, "Invalid request", "Change what `detail` names.", _field_member()),
    "invalid_json": ProblemCode(400, "Body is not JSON", "Send a JSON object in UTF-8."),
    "invalid_parameter": ProblemCode(
        400, "Invalid parameter", "Change the parameter or header that `field` names.", _field_member()
    ),
    "unknown_parameter": ProblemCode(
        400, "Unknown parameter", "Remove the query parameter that `field` names.", _field_member()
    ),
    "value_not_storable": ProblemCode(
        400, "Value cannot be stored", "Remove characters that are not text, and numbers that are out of range."
    ),
    "body_stalled": ProblemCode(408, "Body stopped arriving", "Send the request again."),
    "too_large": ProblemCode(
        413, "Too large", "Send at most `limit` bytes.", {"limit": {**_COUNT, "description": "The most bytes taken."}}
    ),
    "quota_exceeded": ProblemCode(
        413,
        "Storage is full",
        "Remove media that is no longer needed, or ask the operator for more storage.",
        {"used": {**_COUNT, "description": "Bytes taken."}, "quota": {**_COUNT, "description": "Bytes allowed."}},
    ),
    "uri_too_long": ProblemCode(414, "Address too long", "Send a shorter address."),
    "headers_too_large": ProblemCode(431, "Headers too large", "Send fewer or shorter headers."),
    "unsupported_media_type": ProblemCode(
        415,
        "Unsupported type",
        "Send one of the types that `allowed` lists, or the type that `found` names.",
        {
            "allowed": {"type": "array", "items": _TEXT, "description": "The types taken here."},
            "found": {"type": ["string", "null"], "description": "The type that the bytes have."},
        },
    ),
    "checksum_mismatch": ProblemCode(CHECKSUM_MISMATCH, "Checksum mismatch", "Send the same bytes again."),
    "invalid_values": ProblemCode(
        422, "Values cannot be used", "Change each field that `errors` names.", {"errors": _FIELD_ERRORS}
    ),
    "nothing_to_estimate": ProblemCode(
        422, "Nothing to estimate", "Add a photo, a recording or notes to the visit first."
    ),
    "file_unusable": ProblemCode(422, "File cannot be used", "Send a whole file of a type that is taken."),
    # Who asks
    "token_missing": ProblemCode(401, "Token missing", "Send `Authorization: Bearer <token>`."),
    "token_malformed": ProblemCode(401, "Token malformed", "Send the token as it was issued, with all its claims."),
    "token_expired": ProblemCode(401, "Token expired", "Get a new token and send the request again."),
    "token_unknown": ProblemCode(
        401, "Token unknown", "Get a new token: this one is not signed by a key in force, was revoked, or was used."
    ),
    "forbidden": ProblemCode(403, "Not allowed", "Ask an owner of the company for the right to do this."),
    "not_a_member": ProblemCode(403, "Not a member", "Ask an owner of the company to add this user."),
    "role_too_low": ProblemCode(403, "Role too low", "Ask an owner of the company for the role that `detail` names."),
    "person_required": ProblemCode(403, "A person has to", "Sign in; an API key manages neither people nor keys."),
    "foreign_origin": ProblemCode(
        403, "Request from another site", "Send a Bearer token; a cookie works on this site's own pages only."
    ),
    "passcode_required": ProblemCode(403, "Passcode required", "Send the passcode of the link."),
    "passcode_wrong": ProblemCode(403, "Wrong passcode", "Check the passcode and try again."),
    "estimation_off": ProblemCode(403, "Estimation is off", "Ask an administrator to turn the feature on."),
    # What is there
    "not_found": ProblemCode(404, "Not found", "Check the id: it is unknown, or it belongs to another company."),
    "no_such_address": ProblemCode(404, "No such address", "Check the path against the API reference."),
    "feature_off": ProblemCode(404, "Feature is off", "Ask an administrator to turn on the feature `detail` names."),
    "no_estimate_yet": ProblemCode(404, "No estimate yet", "Request an estimate, and wait for its job to end."),
    "method_not_allowed": ProblemCode(405, "Method not allowed", "Use one of the methods in the `Allow` header."),
    "gone": ProblemCode(410, "Gone", "Begin again: what was here has ended."),
    "link_ended": ProblemCode(410, "Link has ended", "Ask the sender for a new link."),
    "changes_expired": ProblemCode(
        410, "Changes are no longer kept", "Read everything anew, then follow the feed from `after=latest`."
    ),
    "upload_expired": ProblemCode(410, "Upload has expired", "Begin a new upload."),
    # Its state
    "too_many_endpoints": ProblemCode(409, "Too many webhook endpoints", "Delete one that is not needed."),
    "endpoint_not_active": ProblemCode(
        409, "Webhook endpoint not active", "Set its status to `active`, then ask again."
    ),
    "conflict": ProblemCode(409, "Conflict", "Read the state again, then decide."),
    "media_id_taken": ProblemCode(
        409,
        "Media id is taken",
        "Choose a new media id, unless `sha256` is the hash of your file: then it is already there.",
        {"sha256": {"type": "string", "description": "The hash of the file that has this id."}},
    ),
    "upload_missing": ProblemCode(409, "File has not arrived", "Send the file to the store, then complete the upload."),
    "upload_offset_mismatch": ProblemCode(
        409,
        "Upload stands elsewhere",
        "Go on from `offset`.",
        {"offset": {**_COUNT, "description": "The number of bytes that are durable."}},
    ),
    "recording_incomplete": ProblemCode(
        409,
        "Recording has gaps",
        "Send the missing chunks, or finalize with `accept_gaps`.",
        {
            "missing": {
                "type": "array",
                "items": {"type": "integer"},
                "description": "The first missing sequence numbers.",
            },
            "missing_count": _COUNT,
            "without_beginning": {
                "type": "array",
                "items": {"type": "integer"},
                "description": "Sequence numbers of chunks whose beginning is missing.",
            },
        },
    ),
    "recording_closed": ProblemCode(409, "Recording is closed", "Begin another recording."),
    "chunk_differs": ProblemCode(409, "Chunk differs", "Begin another recording, or send the chunk as it was."),
    "job_active": ProblemCode(
        409,
        "Visit has an active job",
        "Follow the job that `job_id` names, or cancel it.",
        {"job_id": {**_UUID, "description": "The job that works on the visit."}},
    ),
    "external_id_taken": ProblemCode(
        409,
        "External id is taken",
        "Read the visit that `visit_id` names: it may be the one you mean.",
        {"visit_id": {**_UUID, "description": "The visit that has this external id."}},
    ),
    "share_closed": ProblemCode(409, "The link is over", "Make a new link, or replace this one, and send that."),
    "no_mail_server": ProblemCode(
        409, "No mail server", "Send the link yourself, or ask the operator to set MAIL_URL."
    ),
    "share_outdated": ProblemCode(
        409,
        "Estimate has a newer version",
        "Share the version that `newest_id` names.",
        {"newest_id": {**_UUID, "description": "The newest version of the estimate."}},
    ),
    "share_revoked": ProblemCode(409, "Share was revoked", "Make a new share."),
    "already_decided": ProblemCode(409, "Already decided", "Read the decision; it stands."),
    "thread_full": ProblemCode(409, "Thread is full", "Call or write to the sender instead."),
    "estimate_changed": ProblemCode(409, "Estimate has changed", "Read the estimate again before you decide."),
    "idempotency_key_in_use": ProblemCode(
        409,
        "Request is in progress",
        "Wait for Retry-After, then send the same request with the same key.",
        _RETRY_AFTER,
    ),
    "idempotency_key_reused": ProblemCode(
        422,
        "Idempotency-Key was used for another request",
        "Send a new key with a new request.",
        {"job_id": {**_UUID, "description": "The job that the key made."}},
    ),
    "version_mismatch": ProblemCode(
        412,
        "State has changed",
        "Read it again, make the change there, and send its new ETag in If-Match.",
        {
            "latest": {**_LATEST, "description": "The newest version, for estimates."},
            "changes": {**_LINE_CHANGES, "description": "How the lines differ, for estimates."},
            "terms": {**_TERM_CHANGES, "description": "How the terms differ, for estimates."},
        },
    ),
    "version_required": ProblemCode(428, "If-Match is required", "Send the ETag that you read in If-Match."),
    "tus_version_unsupported": ProblemCode(412, "Version of tus unsupported", "Send `Tus-Resumable: 1.0.0`."),
    "locked": ProblemCode(423, "Locked", "Wait for Retry-After and try again: another request is at it.", _RETRY_AFTER),
    # How much, and when
    "rate_limited": ProblemCode(
        429,
        "Too many requests",
        "Wait for Retry-After and try again.",
        _RETRY_AFTER,
    ),
    "internal_error": ProblemCode(500, "Internal error", "Try again; quote `correlation_id` when you report it."),
    "not_implemented": ProblemCode(501, "Not implemented", "Send a plain HTTP/1.1 request."),
    "unavailable": ProblemCode(
        503,
        "Unavailable",
        "Wait for Retry-After and send the same request again.",
        _RETRY_AFTER,
    ),
    "http_version_unsupported": ProblemCode(505, "Version of HTTP unsupported", "Use HTTP/1.0 or HTTP/1.1."),
}

# Where nobody says more than the status.
OF_STATUS: Mapping[int, str] = {
    400: "invalid_request",
    401: "token_unknown",
    403: "forbidden",
    404: "no_such_address",
    405: "method_not_allowed",
    408: "body_stalled",
    409: "conflict",
    410: "gone",
    412: "version_mismatch",
    413: "too_large",
    414: "uri_too_long",
    415: "unsupported_media_type",
    422: "invalid_values",
    423: "locked",
    428: "version_required",
    429: "rate_limited",
    431: "headers_too_large",
    CHECKSUM_MISMATCH: "checksum_mismatch",
    501: "not_implemented",
    503: "unavailable",
    505: "http_version_unsupported",
}


def code_of_status(status: int) -> str:
    """Return the most general code of a status."""
    return OF_STATUS.get(status, "internal_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request")


def codes_of(status: int) -> list[str]:
    """Return every code with this status."""
    return [code for code, known in CODES.items() if known.status == status]

"""The errors below the routes, as a tree split by whose fault each is.

SpineError
+-- RequestError          the caller can mend it
|   +-- InvalidInput      a value is malformed or out of range
|   |   +-- Unprocessable understood, but its values cannot be used as they are (422)
|   +-- NotFound          unknown, or another tenant's: the two are not told apart
|   +-- Forbidden         known caller, not allowed
|   +-- Conflict          the state has moved on; read again
|   |   +-- Locked        somebody else is at it (423); carries retry_after seconds
|   |   +-- InProgress    the same request is under way (409); carries retry_after seconds
|   +-- Gone              it was here and will not come back
|   +-- TooLarge          past a size limit
|   |   +-- OverQuota     the tenant's storage is full; fits once there is room
|   +-- UnsupportedType   not a type we take, or the content contradicts the type
|   +-- PreconditionFailed    the state is not the one that the caller named (412)
|   +-- PreconditionRequired  the caller must name the state that they changed (428)
|   +-- Damaged           the bytes do not match the checksum that came with them (460); send them again
|   +-- Stalled           the body stopped arriving (408); send it again
|   +-- TooMany           past a rate or a cap; carries retry_after seconds
+-- Unavailable           ours, and passing: try again after retry_after seconds
"""

from dataclasses import dataclass
from typing import Any


class SpineError(Exception):
    """Base: `detail` is a sentence for the caller; `extra` are further members of the problem document.

    `code` tells a program which case this is: the class's own, or a narrower one. Each is registered in
    `gateway.http.problem_codes`.
    """

    code = "internal_error"

    def __init__(self, detail: str, *, code: str | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.extra = extra


class RequestError(SpineError):
    """The caller can mend it."""

    code = "invalid_request"


class Unauthenticated(RequestError):
    """No token, or one that does not hold; answered with 401 and WWW-Authenticate."""

    code = "token_unknown"


class InvalidInput(RequestError):
    """A value is malformed or out of range."""

    code = "invalid_request"


class Unprocessable(InvalidInput):
    """Understood, but its values cannot be used as they are."""

    code = "invalid_values"


class NotFound(RequestError):
    """Unknown, or another tenant's."""

    code = "not_found"


class Forbidden(RequestError):
    """Known caller, not allowed."""

    code = "forbidden"


class Conflict(RequestError):
    """The state has moved on."""

    code = "conflict"


class Locked(Conflict):
    """Somebody else is at it."""

    code = "locked"

    def __init__(self, detail: str, *, retry_after: float, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after


class InProgress(Conflict):
    """The same request is under way."""

    code = "idempotency_key_in_use"

    def __init__(self, detail: str, *, retry_after: float, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after


class Gone(RequestError):
    """It was here and will not come back."""

    code = "gone"


class TooLarge(RequestError):
    """Past a size limit."""

    code = "too_large"


class OverQuota(TooLarge):
    """The tenant's storage is full; the same file fits once there is room."""

    code = "quota_exceeded"


class UnsupportedType(RequestError):
    """Not a type we take, or the content contradicts the type."""

    code = "unsupported_media_type"


class PreconditionFailed(RequestError):
    """The state is not the one that the caller named in If-Match."""

    code = "version_mismatch"


class PreconditionRequired(RequestError):
    """The caller must name the state that they changed, in If-Match."""

    code = "version_required"


class Damaged(RequestError):
    """The bytes do not match the checksum that came with them."""

    code = "checksum_mismatch"


class Stalled(RequestError):
    """The body stopped arriving."""

    code = "body_stalled"


@dataclass(frozen=True)
class RatePolicy:
    """A limit as clients are told of it: so many at once, and as many more within so many seconds."""

    name: str
    quota: int
    window: int


class TooMany(RequestError):
    """Past a rate or a cap; `policy` is the limit, where it is one of rate."""

    code = "rate_limited"

    def __init__(self, detail: str, *, retry_after: float, policy: RatePolicy | None = None, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after
        self.policy = policy


class Unavailable(SpineError):
    """A resource of ours does not answer in time."""

    code = "unavailable"

    def __init__(self, detail: str, *, retry_after: float = 2.0, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after

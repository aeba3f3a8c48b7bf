"""The errors below the routes, as a tree split by whose fault each is.

SpineError
+-- RequestError          the caller can mend it
|   +-- InvalidInput      a value is malformed or out of range
|   |   +-- Unprocessable understood, but its values cannot be used as they are (422)
|   +-- NotFound          unknown, or another tenant's: the two are not told apart
|   +-- Forbidden         known caller, not allowed
|   +-- Conflict          the state has moved on; read again
|   |   +-- Locked        somebody else is at it (423); carries retry_after seconds
|   +-- Gone              it was here and will not come back
|   +-- TooLarge          past a size limit
|   |   +-- OverQuota     the tenant's storage is full; fits once there is room
|   +-- UnsupportedType   not a type we take, or the content contradicts the type
|   +-- WrongVersion      speaks a version of a protocol that we do not (412)
|   +-- Damaged           the bytes do not match the checksum that came with them (460); send them again
|   +-- Stalled           the body stopped arriving (408); send it again
|   +-- TooMany           past a rate or a cap; carries retry_after seconds
+-- Unavailable           ours, and passing: try again after retry_after seconds
"""

from typing import Any


class SpineError(Exception):
    """Base: `detail` is a sentence for the caller; `extra` are further members of the problem document."""

    def __init__(self, detail: str, **extra: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.extra = extra


class RequestError(SpineError):
    """The caller can mend it."""


class Unauthenticated(RequestError):
    """No token, or one that does not hold; answered with 401 and WWW-Authenticate."""


class InvalidInput(RequestError):
    """A value is malformed or out of range."""


class Unprocessable(InvalidInput):
    """Understood, but its values cannot be used as they are."""


class NotFound(RequestError):
    """Unknown, or another tenant's."""


class Forbidden(RequestError):
    """Known caller, not allowed."""


class Conflict(RequestError):
    """The state has moved on."""


class Locked(Conflict):
    """Somebody else is at it."""

    def __init__(self, detail: str, *, retry_after: float, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after


class Gone(RequestError):
    """It was here and will not come back."""


class TooLarge(RequestError):
    """Past a size limit."""


class OverQuota(TooLarge):
    """The tenant's storage is full; the same file fits once there is room."""


class UnsupportedType(RequestError):
    """Not a type we take, or the content contradicts the type."""


class WrongVersion(RequestError):
    """Speaks a version of a protocol that we do not."""


class Damaged(RequestError):
    """The bytes do not match the checksum that came with them."""


class Stalled(RequestError):
    """The body stopped arriving."""


class TooMany(RequestError):
    """Past a rate or a cap."""

    def __init__(self, detail: str, *, retry_after: float, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after


class Unavailable(SpineError):
    """A resource of ours does not answer in time."""

    def __init__(self, detail: str, *, retry_after: float = 2.0, **extra: Any) -> None:
        super().__init__(detail, **extra)
        self.retry_after = retry_after

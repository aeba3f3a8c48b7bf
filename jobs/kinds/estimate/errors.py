"""The errors of an estimate, split by whose fault each is.

    EstimateError
    ├── EngineError            the model or its provider
    │   ├── Transient          timeout, connection, 5xx: try again
    │   ├── RateLimited        too fast: wait `retry_after_s`, no attempt spent
    │   ├── QuotaExhausted     no credit left: somebody has to pay first
    │   ├── OverBudget             this job or this tenant may spend no more
    │   ├── Refused            the model will not answer this
    │   ├── MalformedAnswer    cut off, no JSON, or not our schema
    │   └── Misconfigured      wrong key, unknown model, a capability that is not there
    └── BadInput               the visit
        ├── UnusableMedium     one recording or photo; never the whole visit
        └── NothingToEstimate  nothing to price was found

The queue reads only the attributes `retryable`, `retry_after_s` and `code`, so it needs no import from here.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.kinds.estimate.model import ModelCall


class EstimateError(Exception):
    """Base of the tree. `str(error)` is a plain sentence that may be shown to the contractor.

    `calls` are the model calls that were paid for all the same; `pieces` names the pieces of a long recording that were
    heard before, each of which is kept with its own calls.
    """

    code: ClassVar[str] = "estimate_failed"
    retryable: ClassVar[bool] = False
    spends_attempt: ClassVar[bool] = True

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.calls: tuple[ModelCall, ...] = ()
        self.pieces: tuple[str, ...] = ()


class EngineError(EstimateError):
    """The engine could not answer; the job fails or is tried again, nothing is saved."""

    code = "engine_failed"


class Transient(EngineError):
    """A fault that passes by itself: timeout, broken connection, 5xx."""

    code = "engine_unavailable"
    retryable = True


class RateLimited(EngineError):
    """The provider asked us to slow down; `retry_after_s` is its own figure when it gave one."""

    code = "engine_rate_limited"
    retryable = True
    spends_attempt = False


class QuotaExhausted(EngineError):
    """The account has no credit left; retrying cannot help until somebody pays."""

    code = "engine_quota_exhausted"
    spends_attempt = False


class OverBudget(EngineError):
    """The next call would exceed the allowed spending; somebody has to allow more first."""

    code = "engine_over_budget"


class Refused(EngineError):
    """The model declined to answer."""

    code = "engine_refused"


class MalformedAnswer(EngineError):
    """The answer was cut off, is not JSON, or does not fit the schema; another try may help."""

    code = "engine_malformed_answer"
    retryable = True


class Misconfigured(EngineError):
    """A wrong key, an unknown model or a missing capability: a setting has to change."""

    code = "engine_misconfigured"


class BadInput(EstimateError):
    """The visit's material cannot be estimated; trying again gives the same answer."""

    code = "bad_input"


class UnusableMedium(BadInput):
    """One recording or photo cannot be read; it becomes that medium's status, not the visit's failure."""

    code = "medium_unusable"


class NothingToEstimate(BadInput):
    """Nothing to price was found in the notes, labels and recordings."""

    code = "nothing_to_estimate"


@contextmanager
def paid_for(call: ModelCall) -> Iterator[None]:
    """Have an answer that is none to use carry the call that made it."""
    try:
        yield
    except EstimateError as error:
        error.calls = (call,)
        raise

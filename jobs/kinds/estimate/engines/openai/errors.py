"""Turns the SDK's exceptions and a response's errors into ours. Provider texts may hold keys: dropped."""

from __future__ import annotations

import email.utils
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2
import openai

from jobs.kinds.estimate.errors import (
    EngineError,
    MalformedAnswer,
    Misconfigured,
    QuotaExhausted,
    RateLimited,
    Refused,
    Transient,
    UnusableMedium,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jobs.kinds.estimate.engines.openai.schema import Envelope

_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_REFUSALS = frozenset({"content_policy_violation", "content_filter", "image_content_policy_violation", "bio_policy"})
_IMAGE_FAULTS = ("invalid_image", "image_", "invalid_base64_image", "unsupported_image", "empty_image")
_HELD_BACK = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.PAYMENT_REQUIRED})
_UNSUPPORTED = frozenset({"unsupported_parameter", "unsupported_value", "invalid_json_schema", "unknown_parameter"})
# The setting that a refused parameter comes from.
SETTINGS_OF = {
    "model": "OPENAI_MODEL, OPENAI_TRANSCRIBE_MODEL",
    "response_format": "OPENAI_API, OPENAI_TRANSCRIBE_MODEL",
    "timestamp_granularities": "OPENAI_TRANSCRIBE_MODEL",
    "timestamp_granularities[]": "OPENAI_TRANSCRIBE_MODEL",
    "prompt": "OPENAI_TRANSCRIBE_MODEL",
    "max_output_tokens": "OPENAI_MODEL",
    "text": "OPENAI_MODEL",
}
_TRY_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT})


@contextmanager
def as_ours(capability: str) -> Iterator[None]:
    """Raise `EngineError`s for the SDK's exceptions, and for the deadline of a whole call.

    `capability` names the feature asked of the endpoint, for when it is not there.
    """
    try:
        yield
    except (openai.APITimeoutError, httpx2.TimeoutException, TimeoutError) as error:
        raise Transient("The model did not answer in time.") from error
    except (openai.APIConnectionError, httpx2.RequestError) as error:
        raise Transient("The model's provider could not be reached.") from error
    except openai.APIStatusError as error:
        raise _of_status(error, capability) from error
    except openai.APIResponseValidationError as error:
        raise MalformedAnswer("The model's answer is not one of its provider's API.") from error
    except openai.APIError as error:  # told in the middle of a stream, where there is no status any more
        raise of_code(error.code) from error
    except openai.OpenAIError as error:
        raise EngineError(f"The model's provider failed ({type(error).__name__}).") from error


def require_complete(answer: Envelope) -> None:
    """Raise for a response that failed, was cut off or was filtered."""
    if answer.status == "failed" or answer.error is not None:
        raise of_code(answer.error.code if answer.error else None)
    if answer.status == "incomplete":
        reason = answer.incomplete_details.reason if answer.incomplete_details else None
        if reason == "content_filter":
            raise Refused("The model's answer was withheld by its provider's filter.")
        raise MalformedAnswer("The model's answer was cut off before its end.")
    if answer.status != "completed":
        raise MalformedAnswer(f"The model answered with the state “{answer.status[:40]}”.")


def of_code(code: str | None, *, default: EngineError | None = None) -> EngineError | UnusableMedium:
    """Return the error of a code that a response or an event of a stream carries."""
    if code in _REFUSALS:
        return Refused("The model's provider declined this request.")
    if code == "rate_limit_exceeded":
        return RateLimited("The model's provider asked us to slow down.")
    if code and code.startswith(_IMAGE_FAULTS):
        return UnusableMedium("The model's provider could not open this photo.")
    return default or Transient("The model's provider failed while answering.")


def _of_status(error: openai.APIStatusError, capability: str) -> EngineError | UnusableMedium:
    code = error.code or error.type
    status = error.status_code
    wait = retry_after(error.response.headers)
    if status in _HELD_BACK or code in _NO_CREDIT:
        return _too_many(error, wait)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRY_AGAIN:
        return Transient(f"The model's provider had a fault (HTTP {status}).", retry_after_s=wait)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return UnusableMedium("The model's provider does not take a file or photo of this size.")
    if (setting := _wrong_setting(error, capability)) is not None:
        return Misconfigured(setting)
    return of_code(code, default=Misconfigured(f"The model's provider did not take the request (HTTP {status})."))


def _wrong_setting(error: openai.APIStatusError, capability: str) -> str | None:
    """Say which setting has to change, where the answer tells."""
    if error.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return "The model's provider does not accept our key (OPENAI_API_KEY)."
    if error.status_code == HTTPStatus.NOT_FOUND:
        settings = "OPENAI_BASE_URL, OPENAI_MODEL, OPENAI_TRANSCRIBE_MODEL"
        return f"The model's provider has no {capability}, or not for the model that is set ({settings})."
    if error.code in _UNSUPPORTED and (error.param or "").startswith("text"):
        return "The model cannot answer by a strict JSON schema; set another OPENAI_MODEL."
    if error.param in SETTINGS_OF:
        return f"The model's provider does not take what is set: {SETTINGS_OF[error.param]} ({error.param})."
    return None


def _too_many(error: openai.APIStatusError, wait: float | None) -> EngineError:
    if (error.code or error.type) in _NO_CREDIT or error.status_code == HTTPStatus.PAYMENT_REQUIRED:
        return QuotaExhausted("The account at the model's provider has no credit left.")
    return RateLimited("The model's provider asked us to slow down.", retry_after_s=wait)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how long to wait, in seconds: `retry-after-ms`, or `retry-after` as seconds or as a date."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(float(headers[name]) * scale, 0.0)
        except (KeyError, ValueError):
            continue
    date = email.utils.parsedate_tz(headers.get("retry-after", ""))
    if date is None:
        return None
    return max(email.utils.mktime_tz(date) - datetime.now(UTC).timestamp(), 0.0)

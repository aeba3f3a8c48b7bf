"""Error reports to Sentry, scrubbed of everything that opens a door: cookies, tokens, keys, signed URLs.

Of a request's headers only those in `TOLD_HEADERS` are sent: others hold labels and file names, and new ones may come.
"""

import re
import sys
from typing import TYPE_CHECKING, Any

import sentry_sdk
import structlog
from sentry_sdk.utils import event_from_exception

from config.logging import correlation_id

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint

    from config.settings import Settings

_SECRET_NAMES = re.compile(r"cookie|authorization|token|ticket|passcode|password|secret|dsn|query|key$", re.IGNORECASE)
TOLD_HEADERS = frozenset(
    {"accept", "content-length", "content-type", "host", "transfer-encoding", "user-agent", "x-correlation-id"}
)
# A share path, any query string (signed URLs, tickets), and anything shaped as a JWT.
_SECRET_TEXTS = (
    (re.compile(r"/e/[A-Za-z0-9_-]{16,}"), "/e/[scrubbed]"),
    (re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']+"), r"\1?[scrubbed]"),
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), "[scrubbed]"),
    (re.compile(r"(postgres(?:ql)?|rediss?)://[^\s@/]+@"), r"\1://[scrubbed]@"),
)


def start_sentry(settings: "Settings") -> None:
    """Report unhandled errors of this process; does nothing without SENTRY_DSN."""
    if settings.sentry_dsn is None:
        return
    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        environment=settings.environment,
        send_default_pii=False,
        include_local_variables=False,  # Frames hold tokens and customers' words.
        max_request_body_size="never",
        before_send=scrub,
        before_breadcrumb=lambda crumb, _hint: scrub_value(crumb),
    )
    sentry_sdk.set_tag("function", settings.function_name)


def scrub(event: "Event", hint: "Hint") -> "Event":
    """Return the event without secrets, and with the correlation id and the tenant, where there is one, as tags."""
    _say_what_was_logged(event, hint)
    request = event.get("request")
    if request:
        request.pop("cookies", None)
        request.pop("query_string", None)
        request["headers"] = _told(request.get("headers"))
    bound = structlog.contextvars.get_contextvars()
    tenant = {"tenant_id": bound["tenant_id"]} if "tenant_id" in bound else {}
    event.setdefault("tags", {}).update({"correlation_id": correlation_id(), **tenant})
    clean: Event = scrub_value(event)
    return clean


def _told(headers: Any) -> dict[str, Any]:
    """Return the headers that may leave; names are compared without case."""
    listed = headers.items() if isinstance(headers, dict) else headers or ()
    return {name: value for name, value in listed if str(name).lower() in TOLD_HEADERS}


def _say_what_was_logged(event: "Event", hint: "Hint") -> None:
    """Make a log line of ours an event of its own kind: its message as title, its exception, the rest beside it.

    Left alone, the title is the whole line with its time, and no two events are ever the same.
    """
    line = getattr(hint.get("log_record"), "msg", None)
    if not isinstance(line, dict):
        return
    details = dict(line)
    event["logentry"] = {"message": str(details.pop("event", ""))}
    error = _exception(details.pop("exc_info", None))
    if error is not None:
        found, _ = event_from_exception(error, client_options=sentry_sdk.get_client().options)
        event["exception"] = found["exception"]
    event["extra"] = details


def _exception(exc_info: Any) -> BaseException | None:
    """Return the exception behind a log line's `exc_info`, or True for the one being handled."""
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exc_info()[1] if exc_info else None


def scrub_value(value: Any) -> Any:
    """Return `value` with secrets replaced, by the name of a key or the shape of a text, at any depth."""
    if isinstance(value, dict):
        return {
            key: "[scrubbed]" if isinstance(key, str) and _SECRET_NAMES.search(key) else scrub_value(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(scrub_value(inner) for inner in value)
    if isinstance(value, str):
        for pattern, replacement in _SECRET_TEXTS:
            value = pattern.sub(replacement, value)
    return value

"""How a job looks from outside: its state as JSON values, and in plain words."""

from collections.abc import Mapping
from typing import Any

from store.pool import Record

_PUBLIC = (
    *("id", "visit_id", "job_type", "status", "attempts", "max_attempts", "position"),
    *("run_at", "created_at", "started_at", "finished_at"),
    *("last_error", "error_code", "result", "cancel_requested", "correlation_id", "stalled"),
)
_STALLED = {
    "no_worker": "Waiting: nothing works on estimates at the moment. It starts by itself.",
    "paused": "Waiting: estimates are paused at the moment. It starts by itself.",
    "worker_silent": "Waiting: the work on it does not answer. It goes on by itself.",
}
# The database counts no further.
_MANY = 1000


def job_status(row: Record) -> dict[str, Any]:
    """Turn a row of `scopekit.job_statuses` into the API's answer, with a `message` in plain words."""
    stalled = None if row["cancel_requested"] else _STALLED.get(row["stalled"])
    return {name: row[name] for name in _PUBLIC} | {"message": stalled or in_words(row)}


def in_words(row: Mapping[str, Any] | Record) -> str:
    """Say where a job stands in a sentence for the contractor."""
    match row["status"]:
        case "queued":
            return _waiting(row)
        case "running" if row["cancel_requested"]:
            return "Stopping."
        case "running":
            return "Working on it." if row["attempts"] <= 1 else f"Working on it, attempt {row['attempts']}."
        case "completed":
            return "Done."
        case "cancelled":
            return "Cancelled."
    return f"It did not work: {row['last_error']}"


def _waiting(row: Mapping[str, Any] | Record) -> str:
    if row["due_in_s"] > 0:
        when = _duration(row["due_in_s"])
        if row["last_error"]:
            return f"Waiting to try again in {when}. The last try failed: {row['last_error']}"
        return f"Scheduled for {row['run_at']:%d %B %Y, %H:%M} UTC, in {when}."
    match row["position"]:
        case None:
            return "Waiting in line."
        case 1:
            return "Next in line."
        case position if position >= _MANY:
            return f"In line behind {_MANY - 1} others or more."
        case position:
            return f"In line behind {position - 1} {'other' if position - 1 == 1 else 'others'}."


def _duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if whole >= size:
            count = round(whole / size)
            return f"{count} {name}{'' if count == 1 else 's'}"
    raise AssertionError  # pragma: no cover - one second always fits

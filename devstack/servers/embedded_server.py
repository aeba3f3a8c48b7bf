"""The supervisor's interface to any server it runs."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Launch:
    """How one server is started and stopped; one that may be killed loses nothing by it."""

    command: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    stop_signal: int = signal.SIGTERM
    death_signal: int = signal.SIGTERM
    stop_within_s: float = 10.0
    may_be_killed: bool = False
    become: Callable[[], None] | None = field(default=None)


class Server(Protocol):
    """One of the three: prepares its directory, says how to launch it, and knows when it is ready."""

    @property
    def name(self) -> str:
        """The name used in messages and for the log file."""

    def launch(self) -> Launch:
        """Make the directory ready and return how to start; may take seconds the first time."""

    def ready(self, pid: int) -> bool:
        """Say whether the server answers; `pid` is the process just started."""

    def settle(self) -> None:
        """Do the steps that need a running server, such as making the database."""

    def clean_up(self) -> None:
        """Remove the files that a stopped server leaves outside its directory."""


def bare_env(home: Path) -> dict[str, str]:
    """Return an environment without the caller's variables (PG*, AWS_*, locale) that change a server's behaviour."""
    return {"PATH": os.defpath, "HOME": str(home), "LC_ALL": "C", "TZ": "UTC"}

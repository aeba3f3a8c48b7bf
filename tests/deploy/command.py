"""The command line, as an operator runs it."""

import json
import subprocess
import sys
from typing import Any

from tests.stack import Services


def scopekit(services: Services, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        env=services.environment(),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def asked(services: Services, *arguments: str) -> dict[str, Any]:
    """Return what a command answers to programs."""
    done = scopekit(services, *arguments, "--json")
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer

"""The command line, as an operator runs it."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import pytest

from store.embedded.stack import Endpoints
from tests.stack import Services, make_services


def own_services(stack: Endpoints, request: pytest.FixtureRequest) -> Services:
    """Give a module a database of its own, where it may turn everything off."""
    workerinput = getattr(request.config, "workerinput", None)
    number = (workerinput["workerid"] if workerinput else "gw0").removeprefix("gw")
    # Redis numbers 0 to 11 are the other suites'.
    return asyncio.run(make_services(stack, f"gw{12 + int(number)}"))


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

"""The command line as a person or a script runs it."""

import json
import subprocess
import sys
from typing import Any

from tests.product import ROOT
from tests.stack import Services

Done = subprocess.CompletedProcess[str]


def scopekit(services: Services, *arguments: str, stdin: str = "", **changes: str) -> Done:
    """Run `scopekit ARGUMENTS` against this worker's services; stdin is no terminal."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=ROOT,
        env=services.environment() | changes,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def answer(services: Services, *arguments: str, code: int = 0, **more: Any) -> Any:
    """Run it with `--json`, expect its exit code, and return what it printed."""
    done = scopekit(services, *arguments, "--json", **more)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)

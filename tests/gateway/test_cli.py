"""The command line's words and exit codes where something is wrong."""

import subprocess
import sys

from tests.product import free_port
from tests.stack import Services


def _migrate(services: Services, **changes: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "gateway", "migrate"]
    environment = services.environment() | changes
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_database_that_is_away_is_said_in_a_line(services: Services) -> None:
    """No trace and no password: what did not happen, and why."""
    url = f"postgresql://owner:hush@127.0.0.1:{free_port()}/scopekit"
    done = _migrate(services, DATABASE_ADMIN_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Not migrated: ")
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stderr


def test_a_second_migration_has_nothing_to_do(services: Services) -> None:
    """Exit code 0 and not a word."""
    done = _migrate(services)
    assert (done.returncode, done.stdout) == (0, "")

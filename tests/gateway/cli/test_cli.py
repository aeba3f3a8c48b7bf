"""The command line's words and exit codes where something is wrong."""

import asyncio
import json
import subprocess
import sys
from typing import Any

from tests.product import free_port
from tests.stack import Services
from tests.tenants import Admin


def _migrate(services: Services, *arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "gateway", "migrate", *arguments]
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
    """Exit code 0 and not a word, asked to check too."""
    for arguments in ((), ("--check",)):
        done = _migrate(services, *arguments)
        assert (done.returncode, done.stdout) == (0, "")


async def test_a_check_names_what_is_missing_and_changes_nothing(services: Services, admin: Admin) -> None:
    """Exit code 1, twice: for a deployment that must not start before its schema is there."""
    database = services.admin_url.rsplit("/", 1)[1] + "_cli"
    await admin.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
    await admin.execute(f"CREATE DATABASE {database}")
    url = services.admin_url.rsplit("/", 1)[0] + f"/{database}"
    for _ in range(2):
        done = await asyncio.to_thread(_migrate, services, "--check", DATABASE_ADMIN_URL=url)
        assert done.returncode == 1
        assert done.stdout.startswith("would apply 0001_baseline")


def _queue(services: Services, *arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "gateway", "queue", *arguments]
    environment = services.environment() | changes
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_queue_is_paused_and_resumed_by_hand(services: Services) -> None:
    """What was paused is shown with its reason, and a second resume says that there was nothing to resume."""

    def ask(*arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(_queue(services, *arguments, "--json").stdout)
        return found

    assert ask("pause", "cli-test", "--reason", "rollback")["paused"] == "cli-test"
    (switch,) = [switch for switch in ask("status")["switches"] if switch["name"] == "cli-test"]
    assert (switch["state"], switch["reason"], switch["until"]) == ("paused", "rollback", None)
    assert [ask("resume", "cli-test")["was_paused"] for _ in range(2)] == [True, False]


def test_a_queue_that_is_away_is_said_in_a_line(services: Services) -> None:
    """No trace: what was not reached."""
    url = f"postgresql://worker:hush@127.0.0.1:{free_port()}/scopekit"
    done = _queue(services, "status", DATABASE_WORKER_URL=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("The queue was not reached: ")
    assert "Traceback" not in done.stderr

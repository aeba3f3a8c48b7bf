"""The whole product as `make run` starts it, in a directory of its own."""

from __future__ import annotations

import signal
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.devstack.harness import all_gone, kill, marked, up
from tests.product import free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow_start, pytest.mark.timeout(240)]

READY_S = 150.0


async def tenants(directory: Path) -> int:
    """Count the tenants in the running product's database."""
    settings = dict(line.split("=", 1) for line in (directory / "env").read_text().splitlines())
    connection = await asyncpg.connect(settings["DATABASE_ADMIN_URL"].strip("'"))
    try:
        return int(await connection.fetchval("SELECT count(*) FROM tenants"))
    finally:
        await connection.close()


def status(url: str, path: str) -> int:
    """Return the status of a GET."""
    assert urlsplit(url).hostname == "127.0.0.1"
    with urllib.request.urlopen(f"{url}{path}", timeout=10) as answer:  # noqa: S310
        return int(answer.status)


async def test_the_product_starts_from_nothing_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """Migrated, seeded, ready, and gone again with every child."""
    port = free_port()
    with up(tmp_path / "data", port) as run:
        url = run.wait_for("ScopeKit is ready", READY_S).removeprefix("ScopeKit is ready: ")
        assert url == f"http://127.0.0.1:{port}"
        assert status(url, "/livez") == status(url, "/readyz") == status(url, "/") == 200
        assert status(url, "/dev/mail") == 200
        assert await tenants(tmp_path / "data") >= 1
        pids = marked(tmp_path / "data")
        assert set(pids) == {"web", "worker", "mail", "postgres", "valkey", "seaweed"}
        run.signal(signal.SIGINT)
        assert run.ends() == 0
        assert all_gone(tmp_path / "data", pids) == []


async def test_after_a_crash_the_product_starts_again_with_its_data(tmp_path: Path) -> None:
    """Kill -9 takes all children along; the next start is ready within ten seconds and has the same tenants."""
    port = free_port()
    with up(tmp_path / "data", port) as run:
        run.wait_for("ScopeKit is ready", READY_S)
        before = await tenants(tmp_path / "data")
        pids = marked(tmp_path / "data")
        kill(run.process.pid)
        assert all_gone(tmp_path / "data", pids) == []
    with up(tmp_path / "data", port) as again:
        again.wait_for("ScopeKit is ready", READY_S)
        assert await tenants(tmp_path / "data") == before
        again.signal(signal.SIGTERM)
        assert again.ends() == 0

"""`scopekit deploy check`: whether schema, gateways and workers are of this release."""

from typing import Any

import pytest

from config.release import release
from tests.deploy.own import Admin
from tests.product import Product, free_port
from tests.stack import Services
from tests.support.command import answer, scopekit


def states(told: dict[str, Any]) -> dict[str, str]:
    """Return each look's state by its name."""
    return {look["name"]: look["state"] for look in told["looks"]}


def test_a_deploy_that_has_arrived_is_said_so(server: Product, services: Services) -> None:
    """The running gateway and worker are of this very code."""
    told = answer(services, "deploy", "check", "--url", server.url, "--wait", "30")
    found = states(told)
    assert told["arrived"]
    assert {name: found[name] for name in ("schema", "gateways", "workers", "ready")} == dict.fromkeys(
        ("schema", "gateways", "workers", "ready"), "ok"
    )


async def test_a_worker_of_other_code_is_named(server: Product, services: Services, admin: Admin) -> None:
    """And the exit code says that the deploy is not there."""
    await admin.execute("SELECT scopekit.report_process('old-host-7', 'worker', '{\"release\": \"0ld\"}', '{}')")
    try:
        done = scopekit(services, "deploy", "check", "--url", server.url)
    finally:
        await admin.execute("SELECT scopekit.unregister_process('old-host-7', 'worker')")
    assert (done.returncode, "old-host-7" in done.stdout) == (1, True)
    assert "Traceback" not in done.stderr


async def test_a_pending_migration_comes_first(services: Services, admin: Admin) -> None:
    """Without the schema nothing else is asked of the database."""
    row = await admin.fetchrow("DELETE FROM schema_migrations WHERE version = 1 RETURNING *")
    assert row is not None
    try:
        told = answer(services, "deploy", "check", "--url", f"http://127.0.0.1:{free_port()}", code=1)
    finally:
        await admin.execute("INSERT INTO schema_migrations VALUES ($1, $2, $3, $4)", *row)
    assert states(told) == {"schema": "fail", "ready": "fail", "health": "fail"}
    assert "0001_baseline" in told["looks"][0]["found"]


async def test_a_newer_schema_is_no_fault(server: Product, services: Services, admin: Admin) -> None:
    """After a rollback the old code finds migrations it does not know, and runs on."""
    await admin.execute("INSERT INTO schema_migrations VALUES (9999, 'later', 'x')")
    try:
        told = answer(services, "deploy", "check", "--url", server.url, "--wait", "30")
    finally:
        await admin.execute("DELETE FROM schema_migrations WHERE version = 9999")
    assert (states(told)["schema"], told["arrived"]) == ("warn", True)


def test_the_release_is_the_code(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any byte of any file makes another one, and so does a file's name."""
    monkeypatch.setattr("config.release._ROOT", tmp_path)
    seen = set()
    (tmp_path / "store").mkdir()
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.sql", "2"), ("notes.txt", "no code")):
        (tmp_path / "store" / name).write_text(text)
        release.cache_clear()
        seen.add(release())
    release.cache_clear()
    assert len(seen) == 3

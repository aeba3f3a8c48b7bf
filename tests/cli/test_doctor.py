"""`scopekit doctor` and `scopekit slo`, by running them."""

from typing import Any

from tests.command import answer, scopekit
from tests.product import Product, free_port
from tests.stack import Services
from tests.store.rows import fill_every_table
from tests.tenants import Tenant


def test_a_well_product_is_well(services: Services, server: Product) -> None:
    """Everything is looked at, nothing fails, and the processes are seen."""
    found = answer(services, "doctor")
    states = {finding["name"]: finding["state"] for finding in found["findings"]}
    assert found["healthy"]
    assert states.keys() >= {
        "settings",
        "database",
        "migrations",
        "LISTEN",
        "redis",
        "bucket",
        "bucket policy",
        "clock",
    }
    assert "fail" not in states.values()
    assert states["processes"] == "ok"


def test_what_is_wrong_is_named_with_what_to_do(services: Services) -> None:
    """A gateway that may bypass RLS, a Redis that is away, keys the store refuses: each by name; no value is shown."""
    done = scopekit(
        services,
        "doctor",
        DATABASE_URL=services.admin_url,
        REDIS_URL=f"redis://127.0.0.1:{free_port()}/0",
        S3_SECRET_ACCESS_KEY="a-wrong-key",
    )
    assert done.returncode == 1
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert {"database", "redis", "bucket"} <= set(failed)
    assert "-> Let DATABASE_URL log in as scopekit_gateway" in done.stdout
    assert "a-wrong-key" not in done.stdout + done.stderr


def test_a_missing_setting_is_its_first_finding(services: Services) -> None:
    """By name, with the exit code of an environment that is not configured."""
    found = answer(services, "doctor", code=78, S3_ACCESS_KEY_ID="")
    (finding,) = found["findings"]
    assert "S3_ACCESS_KEY_ID is not set" in finding["found"]


async def test_a_missed_promise_is_told(services: Services, admin: Any, tenant: Tenant) -> None:
    """In the exit code too, whatever else has happened in the last hour."""
    visit = await fill_every_table(admin, tenant)
    failed = "INSERT INTO visit_sync_events (visit_id, event, payload) VALUES ($1, 'upload_failed', $2)"
    await admin.execute(failed, visit, {"attempts": 5})
    found = answer(services, "slo", code=1)
    assert found["kept"] is False
    assert found["failing_uploads"] >= 1
    await admin.execute("DELETE FROM visit_sync_events WHERE visit_id = $1", visit)


def test_every_command_has_json_and_the_exit_codes_are_told(services: Services) -> None:
    """The commands of the contract are there; completion can be had."""
    done = scopekit(services, "--help", COLUMNS="200")
    for command in ("up", "migrate", "doctor", "token", "flags", "queue", "dlq", "share", "secrets", "cleanup", "slo"):
        assert f" {command} " in done.stdout, command
    assert "--install-completion" in done.stdout
    assert "Exit codes: 0 done" in " ".join(done.stdout.split())

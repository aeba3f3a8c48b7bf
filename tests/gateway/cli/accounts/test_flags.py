"""`scopekit flags`, by running it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.stack import Services
from tests.support.command import answer, scopekit
from tests.tenants import Tenant

ESTIMATION = "visits.ai_estimation_enabled"


@pytest.fixture
async def restored(admin: Any) -> AsyncIterator[None]:
    """Leave no flag killed, whatever happens."""
    yield
    await admin.execute("DELETE FROM flag_kills")


async def test_a_flag_is_turned_off_for_one_tenant(services: Services, tenant: Tenant, other_tenant: Tenant) -> None:
    """The others keep theirs; the history says who did it and why."""
    one = ("--tenant", str(tenant.id))
    found = answer(services, "flags", "set", ESTIMATION, "off", *one, "--reason", "too dear")
    assert (found["asked"], found["now"]) == (False, False)
    rows = {row["tenant_id"]: row[ESTIMATION] for row in answer(services, "flags", "list")["tenants"]}
    assert (rows[str(tenant.id)], rows[str(other_tenant.id)]) == (False, True)
    newest = answer(services, "flags", "history", *one, "--limit", "1")[0]
    assert (newest["name"], newest["before"], newest["after"], newest["reason"]) == (
        ESTIMATION,
        True,
        False,
        "too dear",
    )
    assert newest["actor"].startswith("cli ")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("set", "visits.enable", "on", "--all-tenants"), 2, "There is no flag `visits.enable`. There are:"),
        (("set", "visits.enabled", "maybe", "--all-tenants"), 2, "true or on or false or off, not `maybe`"),
        (("set", "visits.enabled", "off"), 2, "Say --tenant ID for one tenant, or --all-tenants"),
        (("kill", "visits.enabled"), 4, "Nothing was changed: add --yes"),
        (("restore", "visits.enabled"), 4, "is not killed"),
    ],
)
async def test_what_cannot_be_done_is_said(
    services: Services, tenant: Tenant, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """A wrong name, a wrong value, nobody named, not confirmed: each with its exit code, and nothing is changed."""
    done = scopekit(services, "flags", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


async def test_a_kill_is_restored_by_hand(services: Services, tenant: Tenant, admin: Any, restored: None) -> None:
    """Tried dry first; then off for everybody; then as it was."""
    on = "SELECT feature_flags #> '{visits,ai_estimation_enabled}' FROM tenant_settings WHERE tenant_id = $1"
    assert answer(services, "flags", "kill", ESTIMATION, "--dry-run")["tenants"] >= 1
    assert await admin.fetchval(on, tenant.id) is True
    killed = answer(services, "flags", "kill", ESTIMATION, "--yes", "--reason", "the model went mad")
    assert await admin.fetchval(on, tenant.id) is False
    assert answer(services, "flags", "restore", ESTIMATION)["tenants"] == killed["tenants"]
    assert await admin.fetchval(on, tenant.id) is True
    deeds = await admin.fetch(
        "SELECT action, reason FROM ops_audit WHERE target = $1 ORDER BY at DESC LIMIT 2", ESTIMATION
    )
    assert [tuple(row) for row in deeds] == [("flag.restore", ""), ("flag.kill", "the model went mad")]


def test_the_registry_names_every_flag(services: Services) -> None:
    """With type, default, who may change it and what it does."""
    rows = answer(services, "flags", "registry")
    assert {row["name"] for row in rows} == {"visits.enabled", ESTIMATION, "visits.ws_progress_enabled"}
    assert all(row["type"] == "bool" and row["default"] is False and row["description"] for row in rows)

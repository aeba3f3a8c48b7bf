"""`scopekit secrets rotate`: through a gateway that runs, old and new both hold in between, and the old fails after."""

import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from dotenv import dotenv_values

from tests.gateway.cli.rotating import file, gateway, services, text_of
from tests.stack import JWT_SECRET, QUEUE_KEY, Services
from tests.support.command import answer, scopekit
from tests.tenants import Tenant

__all__ = ["file", "services"]


def opens(client: httpx.Client, tenant: Tenant, *, jwt: str, queue: str) -> tuple[bool, bool]:
    """Tell whether a token of this key, and this queue key, are let in."""
    token = {"authorization": f"Bearer {tenant.token(secret=jwt)}"}
    me, metrics = client.get("/v1/me", headers=token), client.get("/metrics", headers={"x-internal-key": queue})
    return me.status_code == httpx.codes.OK, metrics.status_code == httpx.codes.OK


def mode_of(path: Path) -> int:
    """Return who may read a file."""
    return stat.S_IMODE(path.stat().st_mode)


async def test_old_and_new_hold_in_between_and_the_old_fails_after(
    services: Services, admin: Any, tenant: Tenant, file: Path, tmp_path: Path
) -> None:
    """Both kinds that are ours to make: a list of keys, and a key with its predecessor."""

    def ask(*arguments: str, **more: Any) -> Any:
        return answer(services, "secrets", "rotate", *arguments, SECRETS_FILE=str(file), **more)

    for name in ("jwt", "internal-queue-key"):
        ask("begin", name, "--yes", "--reason", "yearly")
    held = dotenv_values(file)
    new_jwt, new_queue = (held["JWT_SECRETS"] or "").split(",")[0], held["INTERNAL_QUEUE_KEY"] or ""
    assert {new_jwt, new_queue}.isdisjoint({JWT_SECRET, QUEUE_KEY})
    assert mode_of(file) == 0o640
    with gateway(services, file, tmp_path) as client:
        assert opens(client, tenant, jwt=JWT_SECRET, queue=QUEUE_KEY) == (True, True)
        assert opens(client, tenant, jwt=new_jwt, queue=new_queue) == (True, True)
        early = scopekit(services, "secrets", "rotate", "finish", "jwt", "--yes", SECRETS_FILE=str(file))
        assert (early.returncode, early.stdout) == (4, "")
        assert "Too early" in early.stderr
        await admin.execute("UPDATE secret_rotations SET begun_at = begun_at - interval '24 hours'")
        for name in ("jwt", "internal-queue-key"):
            ask("finish", name, "--yes")
    with gateway(services, file, tmp_path) as client:
        assert opens(client, tenant, jwt=JWT_SECRET, queue=QUEUE_KEY) == (False, False)
        assert opens(client, tenant, jwt=new_jwt, queue=new_queue) == (True, True)
    assert {row["name"]: row["state"] for row in ask("status")}["jwt"] == "steady"
    log = text_of(tmp_path / "gateway.log")
    told = await admin.fetch("SELECT to_jsonb(a)::text AS row FROM ops_audit a WHERE action LIKE 'secret.%'")
    assert len(told) >= 4
    for value in (new_jwt, new_queue, JWT_SECRET):
        assert value not in log + "".join(row["row"] for row in told)


async def test_a_process_that_was_not_restarted_holds_the_end_back(services: Services, admin: Any, file: Path) -> None:
    """It is named, in the status too; `--force` says that one knows. The next one does not begin beside it either."""
    environment: dict[str, Any] = {"SECRETS_FILE": str(file)}
    begun = answer(services, "secrets", "rotate", "begin", "jwt", "--yes", **environment)
    keys = {"jwt": ["0" * 12]}
    await admin.execute("INSERT INTO processes (name, kind, keys) VALUES ('old-one', 'gateway', $1)", keys)
    await admin.execute("INSERT INTO processes (name, kind, keys) VALUES ('keyless', 'worker', $1)", {"jwt": []})
    await admin.execute("UPDATE secret_rotations SET begun_at = begun_at - interval '24 hours'")
    status = answer(services, "secrets", "rotate", "status", **environment)
    behind = next(row for row in status if row["name"] == "jwt")["behind"]
    assert ("old-one" in behind, "keyless" in behind) == (True, False)
    await admin.execute("UPDATE processes SET seen_at = now()")
    refused = scopekit(services, "secrets", "rotate", "finish", "jwt", "--yes", **environment)
    assert (refused.returncode, "old-one" in refused.stderr, "keyless" in refused.stderr) == (4, True, False)
    finished = answer(services, "secrets", "rotate", "finish", "jwt", "--yes", "--force", **environment)
    assert finished["finished"] == begun["begun"]
    await admin.execute("UPDATE processes SET seen_at = now()")
    elsewhere = scopekit(services, "secrets", "rotate", "begin", "jwt", "--yes", **environment)
    assert (elsewhere.returncode, "run this where they get theirs" in elsewhere.stderr) == (4, True)
    await admin.execute("DELETE FROM processes WHERE name IN ('old-one', 'keyless')")


async def test_a_key_its_provider_does_not_take_is_not_put_in_force(services: Services, file: Path) -> None:
    """Asked before anything is written; the value is not said back."""
    done = scopekit(
        services,
        "secrets",
        "rotate",
        "begin",
        "s3",
        "--stdin",
        "--yes",
        stdin="AKIAWRONG\nhush-hush\n",
        SECRETS_FILE=str(file),
    )
    assert done.returncode == 4
    assert "does not take the new value" in done.stderr
    assert "hush-hush" not in done.stdout + done.stderr
    assert text_of(file) == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("begin", "share-links"), 2, "There is no secret `share-links` to rotate. There are: jwt,"),
        (("finish", "jwt", "--yes"), 3, "No rotation of `jwt` is open."),
    ],
)
async def test_what_cannot_be_rotated_is_said(
    services: Services, file: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    """Each with its exit code, and nothing is written."""
    done = scopekit(services, "secrets", "rotate", *arguments, SECRETS_FILE=str(file))
    assert done.returncode == code
    assert said in done.stderr
    assert text_of(file) == ""

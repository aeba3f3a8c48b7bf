"""`scopekit doctor` and `scopekit slo`, by running them."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from aiobotocore.session import get_session

from tests.product import Product, free_port
from tests.stack import Services
from tests.store.schema.rows import fill_every_table
from tests.support.command import answer, scopekit
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
        "event bus",
        "bucket",
        "bucket policy",
        "clock",
    }
    assert "fail" not in states.values()
    assert states["processes"] == states["worker session"] == "ok"


def test_what_is_wrong_is_named_with_what_to_do(services: Services) -> None:
    """A gateway that may bypass RLS, a Redis that is away, keys the store refuses: each by name; no value is shown."""
    done = scopekit(
        services,
        "doctor",
        DATABASE_URL=services.admin_url,
        REDIS_URL=f"redis://127.0.0.1:{free_port()}/0",
        EVENT_BUS="redis",
        S3_SECRET_ACCESS_KEY="a-wrong-key",
    )
    assert done.returncode == 1
    failed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert {"database", "redis", "event", "bucket"} <= set(failed)
    assert "-> Let DATABASE_URL log in as scopekit_gateway" in done.stdout
    assert "a-wrong-key" not in done.stdout + done.stderr


def test_a_pooler_without_a_direct_connection_is_a_warning(services: Services) -> None:
    """A worker's leases then hang on no session; one direct connection is enough."""
    pooled = {"DATABASE_POOLED": "true"}  # the login's own role is another check's matter
    finding = _finding(answer(services, "doctor", code=1, **pooled), "worker session")
    assert (finding["state"], finding["found"]) == (
        "warn",
        "a transaction pooler: a dead worker is noticed by its lease, in 90 s",
    )
    direct = answer(services, "doctor", code=1, **pooled, DATABASE_LISTEN_URL=services.worker_url)
    assert _finding(direct, "worker session")["state"] == "ok"


async def test_a_bucket_that_anybody_may_list_is_named(services: Services) -> None:
    """With what to take away; the policy is a real one of the store's."""
    own = replace(services, bucket=f"{services.bucket}-public")
    async with bucket_client(own) as s3:
        await s3.create_bucket(Bucket=own.bucket)
        statement = {"Effect": "Allow", "Principal": "*", "Action": ["s3:ListBucket"]}
        policy = {"Version": "2012-10-17", "Statement": [statement | {"Resource": [f"arn:aws:s3:::{own.bucket}"]}]}
        await s3.put_bucket_policy(Bucket=own.bucket, Policy=json.dumps(policy))
        finding = _finding(answer(own, "doctor", code=1), "bucket policy")
        await s3.delete_bucket(Bucket=own.bucket)
    assert finding["state"] == "fail"
    assert "anybody may list" in finding["found"]
    assert finding["do"].startswith("Take its public policy away")


def test_a_store_that_answers_strangers_oddly_is_a_warning(services: Services) -> None:
    """Neither in nor refused: whether the bucket is private was not seen."""
    with answering(HTTPStatus.BAD_GATEWAY) as endpoint:
        found = answer(services, "doctor", code=1, S3_ENDPOINT_URL=endpoint)
    finding = _finding(found, "bucket policy")
    assert (finding["state"], finding["found"]) == ("warn", "the store answers anonymous requests 502")
    assert "what stands before the store" in finding["do"]


def _finding(found: Any, name: str) -> dict[str, Any]:
    one: dict[str, Any] = next(finding for finding in found["findings"] if finding["name"] == name)
    return one


@contextmanager
def answering(status: int) -> Iterator[str]:
    """Run a server that answers everything with this status; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815 - the library's way to name a method

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", free_port()), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@asynccontextmanager
async def bucket_client(services: Services) -> AsyncIterator[Any]:
    """Speak to the store as its owner."""
    places = services.endpoints
    async with get_session().create_client(
        "s3",
        endpoint_url=places.s3_endpoint,
        region_name=places.s3_region,
        aws_access_key_id=places.s3_access_key,
        aws_secret_access_key=places.s3_secret_key,
    ) as client:
        yield client


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
    for command in ("migrate", "doctor", "token", "flags", "queue", "dlq", "share", "secrets", "cleanup", "slo"):
        assert f" {command} " in done.stdout, command
    assert "--install-completion" in done.stdout
    assert "Exit codes: 0 done" in " ".join(done.stdout.split())

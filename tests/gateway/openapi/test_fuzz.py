"""schemathesis against the running gateway, as three people: no 500, nothing that the document does not say.

A made-up request or two for each operation, the same in every run. More of them, and every edge of every schema:
`FUZZ_EXAMPLES=200 make test ARGS="-k schemathesis --timeout 3600"`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.gateway.openapi import hooks
from tests.product import ROOT, Product
from tests.tenants import Tenant, make_member

if TYPE_CHECKING:
    import asyncpg

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
SEED = 1
SECONDS = 3000.0 if EXAMPLES else 110.0
# What a request at the edge of every schema is for; what may be sent and is refused, is another matter: a text may
# be no time zone, a file no photo.
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "missing_required_header", "unsupported_method", "allow_header_conformance"),
    *("ignored_auth",),
)


@pytest.fixture
async def belongings(server: Product, tenant: Tenant) -> dict[str, str]:
    """A visit with an estimate waiting, so that addresses lead somewhere."""
    async with httpx.AsyncClient(base_url=server.url, headers=tenant.headers, timeout=60) as owner:
        visit = (await owner.post("/v1/visits", json={"notes": "Replace three GFCI outlets."})).json()["id"]
        job = (await owner.post(f"/v1/visits/{visit}/estimate")).json()["id"]
    return {"visit_id": visit, "job_id": job}


@pytest.fixture
async def member(admin: "asyncpg.Connection[asyncpg.Record]", tenant: Tenant) -> Tenant:
    """Somebody of the same tenant who is neither owner nor administrator."""
    return await make_member(admin, tenant)


@pytest.mark.timeout(SECONDS + 10)
@pytest.mark.parametrize("role", ["nobody", "member", "owner"])
def test_schemathesis_finds_nothing(
    server: Product, tenant: Tenant, member: Tenant, belongings: dict[str, str], tmp_path: Path, role: str
) -> None:
    """Every operation, with values that fit its schema and values that do not."""
    tokens = {"member": member.headers, "owner": tenant.headers}
    login = [f"--header=Authorization: {tokens[role]['authorization']}"] if role in tokens else []
    (tmp_path / "schemathesis.toml").write_text(_configuration(belongings))
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
            *("--config-file", str(tmp_path / "schemathesis.toml"), "run", f"{server.url}/openapi/all.json"),
            *(
                f"--seed={SEED}",
                f"--max-examples={EXAMPLES or 1}",
                f"--checks={','.join(CHECKS)}",
            ),
            *("--phases", "coverage,fuzzing" if EXAMPLES else "fuzzing", "--continue-on-failure", "--no-shrink"),
            *("--suppress-health-check=all", "--report=json", "--report-json-path=report.json", *login),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["operations"]["tested"] == report["operations"]["total"]
    assert (report["failures"], report["errors"]) == ([], [])


def _configuration(belongings: dict[str, str]) -> str:
    # A stream is told from its first event; tus refuses who does not name its version with 412, an edit without its
    # version is 428.
    parameters = "\n".join(f'"path.{name}" = "{value}"' for name, value in belongings.items())
    return f"""
hooks = "{hooks.__name__}"
max-stream-events = 1
request-timeout = 40.0
[parameters]
"query.visit_id" = "{belongings["visit_id"]}"
{parameters}
[generation]
allow-x00 = true
[checks.missing_required_header]
expected-statuses = [400, 401, 403, 404, 412, 415, 422, 428]
"""

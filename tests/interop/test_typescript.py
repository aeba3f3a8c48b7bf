"""openapi-typescript and openapi-fetch: the generated client compiles and does the main job against the product."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.gateway.uploads.files import files
from tests.interop.conftest import HERE
from tests.product import Product
from tests.support.npm import assert_pinned, install
from tests.tenants import Tenant

SOURCE = HERE / "typescript"
SECONDS = 90.0


def _run(directory: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.timeout(300)
def test_the_generated_client_does_the_main_job(
    server: Product, tenant: Tenant, document: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Visit, photo, estimate, edit, share and list, by types made from the document and nothing else."""
    directory = tmp_path_factory.mktemp("typescript")
    for name in ("main_job.mts", "tsconfig.json"):
        (directory / name).write_text((SOURCE / name).read_text())
    install(SOURCE, directory)
    (directory / "photo.jpg").write_bytes(files.jpeg())
    _run(directory, "node_modules/.bin/openapi-typescript", str(document), "--output", "api.d.ts")
    _run(directory, "node_modules/.bin/tsc", "--project", ".")
    said = _run(directory, "node", "built/main_job.mjs", server.url, tenant.token(), "photo.jpg")
    assert json.loads(said)["total"] != "0.00"


def test_its_packages_are_pinned() -> None:
    """By version and hash, and without an address."""
    assert_pinned(SOURCE)

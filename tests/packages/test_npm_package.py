"""`@scopekit/progress`: what `npm pack` puts into the package, and its types by the TypeScript compiler."""

import asyncio
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.browser.conftest import require
from tests.product import ROOT
from tests.support.npm import assert_pinned, install

HERE = Path(__file__).parent
SOURCE = ROOT / "packages" / "progress"
STATIC = ROOT / "gateway" / "static" / "progress.js"
SAMPLE = """
import { watchVisit, type VisitEvent } from "@scopekit/progress";

const seen: number[] = [];
const watching = watchVisit("0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90", {
  onSnapshot: ({ payload }) => seen.push(payload.job?.attempts ?? 0),
  onEvent(event: VisitEvent) {
    if (event.type === "step.progress") seen.push(event.payload.done);
    if (event.type === "job.failed") console.log(event.payload.error?.length, event.ends_stream);
  },
  onEnd: (reason) => console.log(reason === "expired"),
});
watching.close();
"""
WRONG = SAMPLE.replace("event.payload.done", "event.payload.worker")


async def run(*command: str, cwd: Path) -> tuple[int | None, str]:
    """Run a program; its exit status and what it printed."""
    running = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(90):
        said, _ = await running.communicate()
    return running.returncode, said.decode()


@pytest.fixture
async def package(tmp_path: Path) -> Path:
    """Build the package as a release does, and unpack it."""
    require("node", "npm")
    copy = tmp_path / "packages" / "progress"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("progress.js"))
    (tmp_path / "gateway" / "static").mkdir(parents=True)
    shutil.copy(STATIC, tmp_path / "gateway" / "static")
    status, said = await run("npm", "pack", "--silent", "--pack-destination", str(tmp_path), cwd=copy)
    assert status == 0, said
    with tarfile.open(tmp_path / said.strip().splitlines()[-1]) as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "package"


def test_the_package_holds_the_gateways_own_file(package: Path) -> None:
    """Its module is byte for byte what the gateway serves; it names the product's version and has no dependencies."""
    assert sorted(file.name for file in package.iterdir()) == [
        *("README.md", "events.d.ts", "package.json", "progress.d.ts", "progress.js"),
    ]
    assert (package / "progress.js").read_bytes() == STATIC.read_bytes()
    described = json.loads((package / "package.json").read_text())
    assert f'version = "{described["version"]}"' in (ROOT / "pyproject.toml").read_text()
    assert "dependencies" not in described


async def test_its_types_are_those_of_the_events(package: Path, tmp_path: Path) -> None:
    """A program that reads events compiles; one that reads a field of another type does not."""
    project = tmp_path / "project"
    project.mkdir()
    await asyncio.to_thread(install, HERE, project)
    (project / "node_modules" / "@scopekit").mkdir()
    shutil.copytree(package, project / "node_modules" / "@scopekit" / "progress")
    (project / "sample.ts").write_text(SAMPLE)
    (project / "wrong.ts").write_text(WRONG)
    options = ("--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom")
    assert await run("node_modules/.bin/tsc", *options, "sample.ts", cwd=project) == (0, "")
    status, said = await run("node_modules/.bin/tsc", *options, "wrong.ts", cwd=project)
    assert (status != 0, "worker" in said) == (True, True)


def test_the_lock_pins() -> None:
    """By version and hash, and it says nothing of where packages come from."""
    assert_pinned(HERE)

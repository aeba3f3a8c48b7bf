"""Packages of npm that a test needs: pinned by a lock, installed once a session into a directory of its own."""

import asyncio
import json
import shutil
from pathlib import Path

from tests.support.ci import skip_or_fail

INSTALL = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
INSTALL_SECONDS = 90.0


def install(source: Path, directory: Path) -> Path:
    """Install what `source`'s lock pins into `directory`, and put its scripts beside it."""
    if missing := [program for program in ("node", "npm") if shutil.which(program) is None]:
        skip_or_fail(f"needs Debian's {', '.join({'node': 'nodejs'}.get(each, each) for each in missing)}")
    for file in (*source.glob("package*.json"), *source.glob("*.mjs")):
        shutil.copy(file, directory)
    asyncio.run(_install(directory))
    return directory


def assert_pinned(source: Path) -> None:
    """Check that a lock pins by version and hash, and leaves it to the machine where packages come from."""
    text = (source / "package-lock.json").read_text()
    packages = [package for name, package in json.loads(text)["packages"].items() if name]
    assert packages
    assert all(package["version"] and package["integrity"].startswith("sha512-") for package in packages)
    assert "://" not in text


async def _install(directory: Path) -> None:
    npm = await asyncio.create_subprocess_exec(
        *INSTALL,
        *("--cache", directory / "cache"),
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(INSTALL_SECONDS):
        said, _ = await npm.communicate()
    if npm.returncode != 0:
        skip_or_fail(f"npm could not install the packages: {said.decode()[-500:]}")

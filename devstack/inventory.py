"""The inventory: every package of requirements.lock that is installed, and the parts bundled in its wheel.

`python -m devstack.inventory licenses` prints a table, `... sbom` a bill of materials (CycloneDX 1.6, JSON).
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.metadata import Distribution

ROOT = Path(__file__).resolve().parent.parent
BUNDLED = Path(__file__).with_name("bundled.toml")
UNKNOWN = "see its licence file"
LONGEST = 80  # some packages put the whole text where the name belongs
# CycloneDX knows fewer kinds of components than we do.
TYPES = {"model": "machine-learning-model", "server": "application", "font": "file"}


@dataclass(frozen=True)
class Component:
    """One thing with a licence; `wheel` names the package that brings it, where it is none itself."""

    name: str
    version: str
    kind: str
    license: str
    wheel: str = ""


def packages(lock: Path = ROOT / "requirements.lock") -> Iterator[Component]:
    """Give the installed packages that the lock names."""
    for distribution in distributions(lock):
        yield Component(normal(distribution.name), distribution.version, "package", license_of(distribution))


def bundled(lock: Path = ROOT / "requirements.lock") -> Iterator[Component]:
    """Give the parts bundled in the wheels of installed packages."""
    versions = {normal(each.name): each.version for each in distributions(lock)}
    for entry in tomllib.loads(BUNDLED.read_text())["component"]:
        for wheel in entry["wheels"]:
            if wheel in versions:
                yield Component(entry["name"], versions[wheel], entry["kind"], entry["license"], wheel)


def distributions(lock: Path) -> list[Distribution]:
    """Return the installed distributions that a lock names, by name."""
    locked = set(re.findall(r"^([a-z0-9._-]+)==", lock.read_text(), re.MULTILINE))
    found = {normal(each.name): each for each in importlib.metadata.distributions() if normal(each.name) in locked}
    return [found[name] for name in sorted(found)]


def license_of(distribution: Distribution) -> str:
    """Return a package's licence as its metadata gives it: an expression, a short text, or its classifiers."""
    told = distribution.metadata
    classifiers = [each.rpartition(" :: ")[2] for each in told.get_all("Classifier") or () if "License ::" in each]
    names = [*(told.get_all("License-Expression") or ()), *(told.get_all("License") or ()), ", ".join(classifiers)]
    short = (name.strip() for name in names if len(name) <= LONGEST and "\n" not in name.strip())
    return next(filter(None, short), UNKNOWN)


def normal(name: str) -> str:
    """Spell a distribution's name as PEP 503 does."""
    return re.sub(r"[-_.]+", "-", name).lower()


def table(components: Sequence[Component]) -> str:
    """Return one line a component."""
    lines = [
        f"{each.name:<40} {each.version:<16} {each.license}"
        + (f"  ({each.kind} in {each.wheel})" if each.wheel else "")
        for each in components
    ]
    return "\n".join(lines) + "\n"


def bill(components: Sequence[Component]) -> dict[str, Any]:
    """Return a CycloneDX document."""
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": [*map(_entry, components)]}


def _entry(one: Component) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": TYPES.get(one.kind, "library"),
        "name": one.name,
        "licenses": [{"license": {"name": one.license}}],
        "bom-ref": f"{one.wheel}/{one.name}" if one.wheel else one.name,
    }
    if one.wheel:  # its own version is not known: that of the wheel is
        return entry | {"properties": [{"name": "scopekit:wheel", "value": f"{one.wheel}=={one.version}"}]}
    return entry | {"version": one.version, "purl": f"pkg:pypi/{one.name}@{one.version}"}


def main(argv: Sequence[str]) -> int:
    """Print the inventory in the given format."""
    components = [*packages(), *bundled()]
    if argv == ["licenses"]:
        sys.stdout.write(table(components))
    elif argv == ["sbom"]:
        sys.stdout.write(json.dumps(bill(components), indent=1, ensure_ascii=False) + "\n")
    else:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The inventory names everything that is installed to run the product, and its licence."""

import json
import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

from devstack.inventory import BUNDLED, ROOT, UNKNOWN, bundled, license_of, main, normal, packages


def libraries() -> set[tuple[str, str]]:
    """Every shared library that the wheels of requirements.lock bring along, with its wheel."""
    found = set()
    locked = {each.name for each in packages()}
    for each in distributions():
        for file in each.files or ():
            if normal(each.name) in locked and ".libs" in file.parts[0] and file.name.startswith("lib"):
                found.add((normal(each.name), file.name.removeprefix("lib")))
    return found


def test_every_library_in_a_wheel_is_named() -> None:
    """Each codec has an entry that names its wheel and the beginning of its file's name."""
    named = [
        (wheel, library)
        for entry in tomllib.loads(BUNDLED.read_text())["component"]
        for wheel in entry["wheels"]
        for library in entry["libraries"]
    ]
    found = libraries()
    assert len(found) > 50
    unnamed = [
        each for each in found if not any(each[0] == wheel and each[1].startswith(stem) for wheel, stem in named)
    ]
    assert unnamed == []


def test_what_is_named_is_in_a_package_that_is_locked() -> None:
    """Models, fonts and servers as well as codecs; all kinds are there."""
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    components = list(bundled())
    assert {each.wheel for each in components} <= locked
    assert {each.kind for each in components} == {"codec", "library", "server", "model", "font"}


def test_every_package_has_a_licence() -> None:
    """One that says nothing in its metadata has to say it in a file."""
    silent = {each.name for each in packages() if each.license == UNKNOWN}
    for each in distributions():
        if normal(each.name) in silent:
            assert [file for file in each.files or () if "licen" in str(file).lower()], (each.name, license_of(each))


def test_the_bill_of_materials_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Each component once, packages by their purl."""
    assert main(["sbom"]) == 0
    bill = json.loads(capsys.readouterr().out)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    references = [each["bom-ref"] for each in bill["components"]]
    assert len(references) == len(set(references)) == len([*packages(), *bundled()])
    assert "pkg:pypi/starlette@" in str(bill)
    assert main(["licenses"]) == 0
    assert "Whisper weights" in capsys.readouterr().out
    assert Path(ROOT / "LICENSE").read_text().count("Apache License") >= 1

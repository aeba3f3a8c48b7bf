"""The packages of the clients are pinned."""

import json

from tests.clients.conftest import HERE


def test_the_lock_pins_by_version_and_hash_and_names_no_address() -> None:
    """Where packages come from is the machine's business."""
    text = (HERE / "package-lock.json").read_text()
    packages = [package for name, package in json.loads(text)["packages"].items() if name]
    assert packages
    assert all(package["version"] and package["integrity"].startswith("sha512-") for package in packages)
    assert "://" not in text

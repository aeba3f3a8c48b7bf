"""The packages of the clients are pinned."""

from tests.clients.conftest import HERE
from tests.support.npm import assert_pinned


def test_the_lock_pins_by_version_and_hash_and_names_no_address() -> None:
    """Where packages come from is the machine's business."""
    assert_pinned(HERE)

"""Ports and secrets are chosen once."""

from __future__ import annotations

import socket
import stat
from typing import TYPE_CHECKING

import pytest

from devstack.state_file import LOOPBACK, PAIR_OFFSET, StateFile, free_port

if TYPE_CHECKING:
    from pathlib import Path


def test_a_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    """The same name gives the same secret, another name another one, in a 0600 file."""
    first = StateFile(tmp_path / "secrets.json").secret("jwt")
    again = StateFile(tmp_path / "secrets.json")
    assert again.secret("jwt") == first
    assert again.secret("queue") != first
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_ports_stay_the_same_from_start_to_start(tmp_path: Path) -> None:
    """A second start finds every server where the first one left it."""
    names = ("postgres", "valkey", "s3")
    first = StateFile(tmp_path / "ports.json").ports(names, paired=frozenset({"s3"}))
    assert StateFile(tmp_path / "ports.json").ports(names, paired=frozenset({"s3"})) == first
    assert len(set(first.values())) == len(names)


@pytest.mark.parametrize("offset", [0, PAIR_OFFSET])
def test_a_port_that_somebody_took_meanwhile_is_replaced(tmp_path: Path, offset: int) -> None:
    """Only the taken one moves; a pair moves when its second half is taken."""
    names = ("postgres", "s3")
    first = StateFile(tmp_path / "ports.json").ports(names, paired=frozenset({"s3"}))
    with socket.socket() as stranger:
        stranger.bind((LOOPBACK, first["s3"] + offset))
        stranger.listen()
        second = StateFile(tmp_path / "ports.json").ports(names, paired=frozenset({"s3"}))
    assert second["s3"] != first["s3"]
    assert second["postgres"] == first["postgres"]


def test_no_two_names_share_a_port() -> None:
    """A port, or its twin 10000 above, that is promised to one is not given to another."""
    port = free_port(None, set(), pair=True)
    assert free_port(port, {port}, pair=False) != port
    assert free_port(port, {port + PAIR_OFFSET}, pair=True) != port


def test_a_torn_file_says_which_one_it_is(tmp_path: Path) -> None:
    """A file that is not JSON is named instead of replaced: it may hold the only copy of a secret."""
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(ValueError, match=r"secrets\.json"):
        StateFile(tmp_path / "secrets.json").secret("jwt")

"""Another user of the same machine gets nothing from the local stack."""

from __future__ import annotations

import http.server
import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devstack.state_file import StateFile
from tests.devstack.harness import Run, hold_stack
from tests.devstack.listening import ports, sockets
from tests.devstack.stranger import open_to_a_stranger

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS_OF_WEED = 5
PORTS = {"postgres": 1, "valkey": 1, "seaweed": 2 * PARTS_OF_WEED}
START_SECONDS = 30.0


@pytest.fixture(scope="module")
def stack_of_mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Run a stack, and tell what the other user may know of it: where it is and what listens."""
    directory = tmp_path_factory.mktemp("stack")
    with hold_stack(directory) as run:
        pids = pids_of(run)
        found = {name: wait_for_ports(pids[name], count) for name, count in PORTS.items()}
        yield {
            "directory": str(directory),
            "pids": pids,
            "ports": sorted(port for each in found.values() for port in each),
            "sockets": sorted(path for pid in pids.values() for path in sockets(pid)),
        }


def pids_of(run: Run) -> dict[str, int]:
    """Wait until the stack is up."""
    told: dict[str, Any] = json.loads(run.wait_for("UP ").removeprefix("UP "))
    pids: dict[str, int] = told["pids"]
    return pids


def wait_for_ports(pid: int, count: int) -> set[int]:
    """Wait until a server listens on as many ports as it has: weed's gRPC ports may open after it answers S3."""
    until = time.monotonic() + START_SECONDS
    while len(found := ports(pid)) < count and time.monotonic() < until:
        time.sleep(0.05)
    assert len(found) == count
    return found


def test_another_user_gets_nothing(stack_of_mine: dict[str, Any]) -> None:
    """No port, socket, file or process of the three servers opens to uid 65534 without a key."""
    assert stack_of_mine["sockets"]
    assert open_to_a_stranger(stack_of_mine) == []


def test_sockets_that_speak_in_clear_lie_where_nobody_else_makes_files(stack_of_mine: dict[str, Any]) -> None:
    """A user who stood such a socket up before the filer does would be sent photos; gRPC's ask for the certificate."""
    directory = Path(stack_of_mine["directory"])
    outside = [path for path in stack_of_mine["sockets"] if directory not in Path(path).parents]
    assert [path for path in outside if "-grpc-" not in path] == []
    assert len(outside) < len(stack_of_mine["sockets"])


def test_no_command_line_tells_a_secret(stack_of_mine: dict[str, Any]) -> None:
    """Everybody on the machine may read the arguments of a process."""
    secrets = json.loads((Path(stack_of_mine["directory"]) / "secrets.json").read_text()).values()
    assert len(secrets) >= 6
    for pid in stack_of_mine["pids"].values():
        line = Path(f"/proc/{pid}/cmdline").read_text()
        assert not [secret for secret in secrets if secret in line]


def test_the_stranger_finds_what_is_open(tmp_path: Path) -> None:
    """A server without a key is found, or the tests above would prove nothing."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        StateFile(tmp_path / "secrets.json").secret("any")
        told = {"directory": str(tmp_path), "pids": {}, "ports": [server.server_port], "sockets": []}
        assert f"{server.server_port}: HTTP /" in open_to_a_stranger(told)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

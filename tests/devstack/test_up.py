"""`make run` with stand-ins for gateway and worker: up together, down together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest

from devstack.lock import read
from devstack.process import wait_until
from devstack.up import answers
from tests.devstack.harness import ROOT, START_S, STOP_S, Run, all_gone, kill, marked, roles, up
from tests.product import free_port

if TYPE_CHECKING:
    from pathlib import Path

EVERYBODY = {"web", "worker", "mail", "postgres", "valkey", "seaweed"}


def start(tmp_path: Path, port: int, *, web: str = "web", worker: str = "worker", **environment: str) -> Run:
    """Start with stand-ins and their Procfile."""
    procfile = roles(tmp_path, web=web, worker=worker)
    return up(tmp_path / "data", port, "--no-bootstrap", "--procfile", str(procfile), **environment)


def environment_of_web(port: int, name: str) -> str:
    """Ask the stand-in for one of its variables."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}", timeout=10) as answer:
        return str(answer.read().decode())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_being_asked_to_stop_stops_web_then_worker_then_the_servers(tmp_path: Path, number: int) -> None:
    """Ctrl-C and SIGTERM both end everything, in order, with exit code 0."""
    port = free_port()
    with start(tmp_path, port) as run:
        assert run.wait_for("ScopeKit is ready") == f"ScopeKit is ready: http://127.0.0.1:{port}"
        run.wait_for("worker is here")  # the gateway may be ready before it
        pids = marked(tmp_path / "data")
        assert set(pids) == EVERYBODY
        run.signal(number)
        assert run.ends() == 0
        assert all_gone(tmp_path / "data", pids) == []
    assert run.text.index("web leaves") < run.text.index("worker leaves") < run.text.index("Stopped.")


def test_a_killed_supervisor_leaves_nothing_and_the_next_start_comes_up(tmp_path: Path) -> None:
    """After kill -9, gateway, worker and servers are gone, and the same secrets and places serve again."""
    port = free_port()
    with start(tmp_path, port) as run:
        run.wait_for("ScopeKit is ready")
        pids = marked(tmp_path / "data")
        before = [environment_of_web(port, name) for name in ("DATABASE_URL", "JWT_SECRETS", "INTERNAL_QUEUE_KEY")]
        kill(run.process.pid)
        assert all_gone(tmp_path / "data", pids) == []
    with start(tmp_path, port) as again:
        again.wait_for("ScopeKit is ready")
        assert before == [environment_of_web(port, n) for n in ("DATABASE_URL", "JWT_SECRETS", "INTERNAL_QUEUE_KEY")]
        again.signal(signal.SIGTERM)
        assert again.ends() == 0


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    """The message names the port and the way out; no server has been started."""
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with start(tmp_path, port) as run:
            assert run.ends() == 1
    assert f"port {port} is taken" in run.text
    assert f"PORT={port + 1} make run" in run.text
    assert not (tmp_path / "data" / "logs").exists()


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, port: str) -> None:
    """PORT must be a TCP port."""
    with Run(["-m", "devstack.up"], PORT=port, SCOPEKIT_DIR=str(tmp_path / "data")) as run:
        assert run.ends() == 1
    assert "PORT must be a number" in run.text


def test_a_second_start_in_the_same_directory_says_who_runs_there(tmp_path: Path) -> None:
    """The first one goes on undisturbed and `make stop` ends it."""
    port = free_port()
    with start(tmp_path, port) as first:
        first.wait_for("ScopeKit is ready")
        with start(tmp_path, free_port()) as second:
            assert second.ends() == 1
        assert f"already runs in {tmp_path / 'data'} as process {first.process.pid}" in second.text
        assert f"http://127.0.0.1:{port}" in second.text
        assert environment_of_web(port, "ENVIRONMENT") == "local"
        with Run(["-m", "devstack.down", "clean"], SCOPEKIT_DIR=str(tmp_path / "data")) as clean:
            assert clean.ends() == 1
        with Run(["-m", "devstack.down", "stop"], SCOPEKIT_DIR=str(tmp_path / "data")) as stop:
            assert stop.ends() == 0
        assert first.ends() == 0
    assert f"Stopped process {first.process.pid}." in stop.text
    assert not read(tmp_path / "data" / "lock")
    with Run(["-m", "devstack.down", "clean"], SCOPEKIT_DIR=str(tmp_path / "data")) as clean:
        assert clean.ends() == 0
    assert not (tmp_path / "data").exists()


def test_a_process_that_dies_stops_everything_and_is_named(tmp_path: Path) -> None:
    """Half a product is none: the exit code is 1 and the message says who ended and how."""
    with start(tmp_path, free_port(), worker="dies") as run:
        assert run.ends() == 1
    assert "worker ended with exit code 3" in run.text
    assert "dies is here" in run.text


def test_a_server_that_dies_stops_everything_and_is_named(tmp_path: Path) -> None:
    """The same for the servers below."""
    with start(tmp_path, free_port()) as run:
        run.wait_for("ScopeKit is ready")
        pids = marked(tmp_path / "data")
        kill(pids["valkey"])
        assert run.ends() == 1
        assert all_gone(tmp_path / "data", pids) == []
    assert "valkey: ended with signal 9" in run.text


def test_asking_twice_hurries(tmp_path: Path) -> None:
    """A process that does not listen is killed at the second Ctrl-C, and the servers still stop properly."""
    with start(tmp_path, free_port(), worker="deaf") as run:
        run.wait_for("deaf is here")
        run.wait_for("Ctrl-C stops it")
        pids = marked(tmp_path / "data")
        run.signal(signal.SIGINT)
        run.wait_for("web leaves")
        run.signal(signal.SIGINT)
        assert run.ends(within_s=20) == 0
        assert all_gone(tmp_path / "data", pids) == []
    assert "worker did not stop when asked and was killed" in run.text
    assert "database system is shut down" in (tmp_path / "data" / "logs" / "postgres.log").read_text()


def test_output_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    """`make run | head -1`: the product goes on, and stops properly when asked."""
    port, procfile = free_port(), roles(tmp_path, web="web", worker="worker")
    command = [sys.executable, "-m", "devstack.up", "--no-bootstrap", "--procfile", str(procfile)]
    environment = {"PATH": os.defpath, "PORT": str(port), "SCOPEKIT_DIR": str(tmp_path / "data")}
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=writer) as process:
        os.close(writer)
        assert wait_until(lambda: answers(port), START_S)
        pids = marked(tmp_path / "data")
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_S) == 0
        assert all_gone(tmp_path / "data", pids) == []
    assert "database system is shut down" in (tmp_path / "data" / "logs" / "postgres.log").read_text()


def test_with_servers_of_ones_own_nothing_embedded_starts(tmp_path: Path) -> None:
    """DATABASE_URL in the environment is the switch, and it reaches the processes untouched."""
    port = free_port()
    with start(tmp_path, port, DATABASE_URL="postgresql://db.example.test/x") as run:
        run.wait_for("ScopeKit is ready")
        assert set(marked(tmp_path / "data")) == {"web", "worker"}
        assert environment_of_web(port, "DATABASE_URL") == "postgresql://db.example.test/x"
        assert environment_of_web(port, "S3_ENDPOINT_URL") == ""
        run.signal(signal.SIGINT)
        assert run.ends() == 0


def test_the_callers_own_settings_win(tmp_path: Path) -> None:
    """What is set outside stays: only what is missing is made up."""
    port = free_port()
    with start(tmp_path, port, REDIS_URL="redis://cache.example.test/3", S3_BUCKET="") as run:
        run.wait_for("ScopeKit is ready")
        assert environment_of_web(port, "REDIS_URL") == "redis://cache.example.test/3"
        assert environment_of_web(port, "S3_BUCKET") == "site-visits"
        assert environment_of_web(port, "ALLOWED_ORIGINS") == f"http://127.0.0.1:{port},http://localhost:{port}"
        run.signal(signal.SIGINT)
        assert run.ends() == 0

"""The product as its users meet it: a gateway and a worker, each a process of its own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

import httpx

from tests.stack import Services

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Product:
    """A running gateway and worker; `logs` holds a file for each."""

    url: str
    gateway: "subprocess.Popen[bytes]"
    worker: "subprocess.Popen[bytes]"
    logs: Path


def free_port() -> int:
    """Return a loopback port nobody listens on just now, and that no connection is given as its own end."""
    while True:
        port = SystemRandom().randrange(15_000, 32_000)  # connections get theirs from 32,768 on
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def end(running: "subprocess.Popen[bytes]", seconds: float = STOP_SECONDS) -> None:
    """Ask a process to end, and make it when it has not within `seconds`."""
    running.terminate()
    try:
        running.wait(seconds)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait(seconds)


@contextmanager
def process(
    name: str, arguments: list[str], environment: dict[str, str], logs: Path, *, checkout: Path = ROOT
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `python -m ...` of this checkout, its output in a file, and end it on leaving."""
    with (logs / f"{name}.log").open("ab") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=checkout, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield running
        finally:
            end(running)


@contextmanager
def start_product(services: Services, logs: Path, **environment: str) -> Iterator[Product]:
    """Start both and wait until the gateway is ready; raises with the gateway's log when it is not in 60 s."""
    port = int(environment.get("PORT") or free_port())
    url = f"http://127.0.0.1:{port}"
    variables = services.environment(**{"PORT": str(port), "ALLOWED_ORIGINS": url} | environment)
    with ExitStack() as running:
        gateway = running.enter_context(process("gateway", ["gateway", "serve"], variables, logs))
        worker = running.enter_context(
            process("worker", ["jobs.worker"], variables | {"FUNCTION_NAME": "worker"}, logs)
        )
        wait_until_ready(url, gateway, logs / "gateway.log")
        yield Product(url, gateway, worker, logs)


def wait_until_ready(url: str, gateway: "subprocess.Popen[bytes]", log: Path) -> None:
    """Ask `/readyz` until it says yes."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if gateway.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/readyz", timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"The gateway did not get ready:\n{log.read_text()[-4000:]}")

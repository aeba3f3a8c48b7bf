"""Caddy as a process of a test's own, with the configuration that we ship."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.product import ROOT, end, free_port

PROGRAM = shutil.which("caddy")
SHIPPED = ROOT / "deploy" / "caddy" / "Caddyfile"


@contextmanager
def caddy(directory: Path, *gateway_ports: int) -> Iterator[int]:
    """Run it before the gateways, without TLS, until the block is left; its port."""
    port = free_port()
    text = SHIPPED.read_text()
    for shipped, ours in (
        ("{\n\tservers {", "{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n\tservers {"),
        ("reverse_proxy gateway:8000 {", f"reverse_proxy {' '.join(f'127.0.0.1:{port}' for port in gateway_ports)} {{"),
    ):
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, ours)
    file = directory / "Caddyfile"
    file.write_text(text)
    environment = os.environ | {
        "PUBLIC_HOST": f"http://:{port}",
        "MEDIA_HOST": f"http://:{free_port()}",
        "XDG_DATA_HOME": str(directory),
        "XDG_CONFIG_HOME": str(directory),
    }
    running = subprocess.Popen([str(PROGRAM), "run", "--config", str(file), "--adapter", "caddyfile"], env=environment)
    try:
        yield port
    finally:
        end(running)

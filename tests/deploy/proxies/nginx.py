"""nginx as a process of a test's own, with the configuration that we ship."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.product import ROOT, end, free_port
from tests.support.servers.certificate import certificate

# Debian keeps it where only root looks.
PROGRAM = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin")))
SHIPPED = ROOT / "deploy" / "nginx" / "scopekit.conf"
_FRAME = """
daemon off;
master_process off;
pid {directory}/pid;
error_log {directory}/error.log info;
events {{ }}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/scopekit.conf;
}}
"""


def configure(directory: Path, gateway_port: int, second_port: int | None = None) -> tuple[Path, int, Path]:
    """Write the shipped configuration with ports, names and a certificate of here; its main file, port and CA."""
    cert, key = certificate(directory)
    port = free_port()
    text = SHIPPED.read_text()
    for shipped, ours in (
        ("listen 80;", f"listen 127.0.0.1:{free_port()};"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{port} ssl http2;"),
        ("server 127.0.0.1:8000 ", f"server 127.0.0.1:{gateway_port} "),
        ("/var/log/nginx/scopekit.log", f"{directory}/access.log"),
        ("/etc/ssl/scopekit/fullchain.pem", str(cert)),
        ("/etc/ssl/scopekit/privkey.pem", str(key)),
    ):
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, ours)
    assert not re.search(r"listen (80|443)", text)
    if second_port is not None:
        assert text.count("# server 127.0.0.1:8001 ") == 1
        text = text.replace("# server 127.0.0.1:8001 ", f"server 127.0.0.1:{second_port} ")
    (directory / "scopekit.conf").write_text(text)
    main = directory / "nginx.conf"
    main.write_text(_FRAME.format(directory=directory))
    return main, port, cert


@contextmanager
def nginx(main: Path) -> Iterator[None]:
    """Run it until the block is left."""
    running = subprocess.Popen([str(PROGRAM), "-c", str(main), "-e", str(main.parent / "start.log")])
    try:
        yield
    finally:
        end(running)

"""The relays that the gateway is compared with, each as a process of its own on the server's core."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.realtime.load import Wanted, build
from benchmarks.realtime.machine import move_to_server_core
from benchmarks.realtime.site import Server, Site
from tests.product import ROOT, end, free_port, wait_until_ready

LOOP = Path(__file__).with_name("loop.c")
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
START_SECONDS = 10.0
STOP_SECONDS = 10.0

_NGINX = """
load_module {module};
worker_processes 1;
daemon off;
{user}
pid {home}/nginx.pid;
error_log {home}/error.log warn;
worker_rlimit_nofile 60000;
events {{ worker_connections 30000; }}
http {{
    access_log off;
    nchan_shared_memory_size 512M;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    keepalive_requests 10000000;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /readyz {{ return 200; }}
        location ~ ^/publish/(.+)$ {{
            nchan_publisher;
            nchan_channel_id $1;
            nchan_message_buffer_length 20000;
            nchan_message_timeout 10m;
        }}
        location ~ ^/watch/(.+)$ {{
            nchan_subscriber eventsource;
            nchan_channel_id $1;
            nchan_subscriber_first_message newest;
            nchan_eventsource_ping_interval 30;
            nchan_eventsource_ping_comment heartbeat;
        }}
    }}
}}
"""


@contextmanager
def obvious(site: Site) -> Iterator[Server]:
    """Run obvious.py."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.realtime.peers.obvious", str(port), site.services.admin_url]
    with _started(command, site.directory / "obvious.log", port) as pid:
        yield Server("obvious", port, pid)


@contextmanager
def loop(site: Site) -> Iterator[Server]:
    """Run loop.c: what write(2) costs, and nothing else."""
    port = free_port()
    with _started([str(build(LOOP)), str(port)], site.directory / "loop.log", port) as pid:
        yield Server("loop", port, pid)


def has_nchan() -> bool:
    """Tell whether nginx and its module are installed."""
    return shutil.which("nginx") is not None and NCHAN.exists()


@contextmanager
def nchan(site: Site) -> Iterator[Server]:
    """Run nginx with one worker, everything it writes in the site's directory."""
    home, port = site.directory / "nginx", free_port()
    home.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(_NGINX.format(module=NCHAN, user=user, home=home, port=port))
    command = ["nginx", "-p", str(home), "-c", str(home / "nginx.conf")]
    with _started(command, home / "output.log", port) as master:
        worker = int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])
        yield Server("nchan", port, worker)


def watchers(server: Server, visits: list[int], site: Site) -> list[Wanted]:
    """Return the streams of these visits at one of the peers, which ask nobody who he is."""
    root = "/watch/{}" if server.name == "nchan" else "/v1/visits/{}/progress"
    return [Wanted(server.port, root.format(site.visits[visit]), "", visit) for visit in visits]


@contextmanager
def _started(command: list[str], log: Path, port: int) -> Iterator[int]:
    with log.open("ab") as output:
        running = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    move_to_server_core(running.pid)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", running, log)
        yield running.pid
    finally:
        end(running, STOP_SECONDS)


class Poster:
    """Publishes to a peer over one kept connection: to nchan each event, to the loop a burst in one piece."""

    def __init__(self, server: Server) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=10)
        self._at_once = server.name == "loop"

    def post(self, visit_id: str, burst: Sequence[tuple[int, str]]) -> None:
        """Publish events, as (seq, document)."""
        if self._at_once:
            self._post(visit_id, "".join(f"id: {seq}\ndata: {document}\n\n" for seq, document in burst))
            return
        for _, document in burst:
            self._post(visit_id, document)

    def _post(self, visit_id: str, text: str) -> None:
        answer = self._http.post(f"/publish/{visit_id}", content=text.encode())
        assert answer.is_success, answer.text

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

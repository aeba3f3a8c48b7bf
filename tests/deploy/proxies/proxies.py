"""Every proxy that a guide of ours configures, each before two gateways, with the configuration as it is shipped."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.deploy.proxies import caddy, nginx
from tests.product import ROOT, end, free_port
from tests.support.ci import skip_or_fail

DEPLOY = ROOT / "deploy"
START_SECONDS = 20.0


@dataclass(frozen=True)
class Front:
    """A proxy's address and whom to trust for it; behind it are the ports of two gateways, which may listen or not.

    `cert` is the file of its authority, where that is none that everybody knows.
    """

    url: str
    trust: ssl.SSLContext
    gateway_ports: tuple[int, int]
    cert: Path | None = None


Ports = tuple[int, int]
Proxy = Callable[[Path], AbstractContextManager[Front]]


def program(name: str, package: str) -> str:
    """Find one of Debian's programs, which it keeps where only root looks."""
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin")))
    if found is None:
        skip_or_fail(f"{name} is not installed: apt-get install {package}")
    return str(found)


def shipped(file: Path, changes: Sequence[tuple[str, str]], target: Path) -> Path:
    """Write a shipped configuration with ports and folders of here; each change has to fit."""
    text = file.read_text()
    for theirs, ours in changes:
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    target.write_text(text)
    return target


@contextmanager
def running(*command: str, url: str, ports: Ports, environment: Mapping[str, str] | None = None) -> Iterator[Front]:
    """Run a proxy until the block is left; give it once it answers."""
    process = subprocess.Popen(command, env=None if environment is None else os.environ | environment)
    try:
        yield answering(Front(url, ssl.create_default_context(), ports))
    finally:
        end(process)


def answering(front: Front) -> Front:
    """Wait until a proxy answers, by itself, that there are no numbers to be had."""
    transport = httpx.HTTPTransport(verify=front.trust, retries=9)
    with httpx.Client(base_url=front.url, transport=transport, timeout=START_SECONDS) as client:
        assert client.get("/metrics").status_code in (403, 404)
    return front


def two_ports() -> Ports:
    """Choose the ports of the gateways."""
    return free_port(), free_port()


@contextmanager
def behind_nginx(directory: Path) -> Iterator[Front]:
    """Run nginx; its configuration has TLS."""
    if nginx.PROGRAM is None:
        skip_or_fail("nginx is not installed: apt-get install nginx-light")
    ports = two_ports()
    main, front, cert = nginx.configure(directory, *ports)
    with nginx.nginx(main):
        trust = ssl.create_default_context(cafile=str(cert))
        yield answering(Front(f"https://127.0.0.1:{front}", trust, ports, cert))


@contextmanager
def behind_caddy(directory: Path) -> Iterator[Front]:
    """Run Caddy."""
    if caddy.PROGRAM is None:
        skip_or_fail("caddy is not installed: apt-get install caddy")
    ports = two_ports()
    with caddy.caddy(directory, *ports) as front:
        yield answering(Front(f"http://127.0.0.1:{front}", ssl.create_default_context(), ports))


@contextmanager
def behind_haproxy(directory: Path) -> Iterator[Front]:
    """Run HAProxy."""
    haproxy, ports, front = program("haproxy", "haproxy"), two_ports(), free_port()
    changes = [
        ("bind :80", f"bind 127.0.0.1:{front}"),
        ("127.0.0.1:8000", f"127.0.0.1:{ports[0]}"),
        ("127.0.0.1:8001", f"127.0.0.1:{ports[1]}"),
        ("/etc/haproxy/later.http", str(DEPLOY / "haproxy" / "later.http")),
        ("maxconn 50000", "maxconn 1000"),
    ]
    file = shipped(DEPLOY / "haproxy" / "haproxy.cfg", changes, directory / "haproxy.cfg")
    with running(haproxy, "-db", "-f", str(file), url=f"http://127.0.0.1:{front}", ports=ports) as found:
        yield found


_APACHE = """
ServerRoot {directory}
PidFile {directory}/httpd.pid
ErrorLog {directory}/apache.log
Listen 127.0.0.1:{front}
{modules}
{user}
ServerName localhost
Include {directory}/scopekit.conf
"""
_APACHE_MODULES = (
    *("mpm_event", "authz_core", "alias", "asis", "headers", "setenvif", "rewrite"),
    *("slotmem_shm", "proxy", "proxy_http", "proxy_balancer", "lbmethod_byrequests"),
)


@contextmanager
def behind_apache(directory: Path) -> Iterator[Front]:
    """Run Apache with the modules that its configuration names, and no others."""
    apache, ports, front = program("apache2", "apache2-bin"), two_ports(), free_port()
    changes = [
        ("*:80", f"127.0.0.1:{front}"),
        ("127.0.0.1:8000", f"127.0.0.1:{ports[0]}"),
        ("127.0.0.1:8001", f"127.0.0.1:{ports[1]}"),
        ("/etc/apache2/scopekit", str(DEPLOY / "apache")),
    ]
    shipped(DEPLOY / "apache" / "scopekit.conf", changes, directory / "scopekit.conf")
    modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _APACHE_MODULES)
    user = "User nobody\nGroup nogroup" if os.geteuid() == 0 else ""
    main = directory / "httpd.conf"
    main.write_text(_APACHE.format(directory=directory, front=front, modules=modules, user=user))
    url = f"http://127.0.0.1:{front}"
    with running(apache, "-D", "FOREGROUND", "-f", str(main), url=url, ports=ports) as found:
        yield found


@contextmanager
def behind_varnish(directory: Path) -> Iterator[Front]:
    """Run Varnish with the parameters that its configuration asks for."""
    varnish, ports, front = program("varnishd", "varnish"), two_ports(), free_port()
    changes = [(f'.port = "{8000 + number}"', f'.port = "{port}"') for number, port in enumerate(ports)]
    file = shipped(DEPLOY / "varnish" / "scopekit.vcl", changes, directory / "scopekit.vcl")
    options = ("-p", "send_timeout=604800", "-p", "idle_send_timeout=75", "-p", "feature=+http2", "-s", "default,16m")
    command = (varnish, "-F", "-j", "none", "-n", str(directory / "varnish"), "-a", f"127.0.0.1:{front}", "-T", "none")
    url = f"http://127.0.0.1:{front}"
    with running(*command, "-f", str(file), *options, url=url, ports=ports) as found:
        yield found


@contextmanager
def behind_lighttpd(directory: Path) -> Iterator[Front]:
    """Run lighttpd."""
    lighttpd, ports, front = program("lighttpd", "lighttpd"), two_ports(), free_port()
    changes = [
        ("server.port = 80\n", f'server.port = {front}\nserver.bind = "127.0.0.1"\n'),
        ('"port" => 8000', f'"port" => {ports[0]}'),
        ('"port" => 8001', f'"port" => {ports[1]}'),
        ("/etc/lighttpd/scopekit", str(DEPLOY / "lighttpd")),
    ]
    file = shipped(DEPLOY / "lighttpd" / "scopekit.conf", changes, directory / "lighttpd.conf")
    with running(lighttpd, "-D", "-f", str(file), url=f"http://127.0.0.1:{front}", ports=ports) as found:
        yield found


PROXIES: Mapping[str, Proxy] = {
    "nginx": behind_nginx,
    "caddy": behind_caddy,
    "haproxy": behind_haproxy,
    "apache": behind_apache,
    "varnish": behind_varnish,
    "lighttpd": behind_lighttpd,
}

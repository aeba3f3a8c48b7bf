"""PgBouncer as a process of a test's own, in transaction mode."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from devstack.process import wait_until
from tests.product import end, free_port
from tests.stack import Services

# Debian keeps it where only root looks.
PROGRAM = shutil.which("pgbouncer", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin")))
CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {directory}/users
pool_mode = transaction
default_pool_size = 10
logfile = {directory}/log
"""


@contextmanager
def pgbouncer(directory: Path, services: Services) -> Iterator[dict[str, str]]:
    """Run it before the services' database until the block is left; the variables that lead through it.

    As the documents say: DATABASE_LISTEN_URL goes past it.
    """
    own_port = free_port()
    server = urlsplit(services.gateway_url)
    logins = [urlsplit(url) for url in (services.gateway_url, services.worker_url)]
    (directory / "users").write_text("".join(f'"{url.username}" "{url.password}"\n' for url in logins))
    configuration = directory / "pgbouncer.ini"
    text = CONFIGURATION.format(host=server.hostname, port=server.port, own_port=own_port, directory=directory)
    configuration.write_text(text)
    user: str | None = None
    if os.geteuid() == 0:  # it refuses to run as root
        user = "nobody"
        for place in (directory, *directory.parents[:3]):
            place.chmod(place.stat().st_mode | 0o011)
        for path in (directory, *directory.iterdir()):
            shutil.chown(path, user)
    running = subprocess.Popen([str(PROGRAM), "-q", str(configuration)], user=user, stderr=subprocess.DEVNULL)
    try:
        log = directory / "log"
        assert wait_until(lambda: log.exists() and "process up" in log.read_text(), 20.0)
        through = {
            name: urlunsplit(url._replace(netloc=f"{url.username}:{url.password}@127.0.0.1:{own_port}"))
            for name, url in zip(("DATABASE_URL", "DATABASE_WORKER_URL"), logins, strict=True)
        }
        yield through | {"DATABASE_LISTEN_URL": services.worker_url, "DATABASE_POOLED": "true"}
    finally:
        end(running)

"""The services of compose.yaml that are other people's images: the same servers from wheels and Debian, by hand.

Each is started in its service's namespace with the file's own command and environment. PostgreSQL's and Valkey's entry
points are the images' own; here a few lines do what their documents say.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devstack.process import wait_until
from devstack.servers import postgres, seaweed, valkey
from devstack.state_file import StateFile
from tests.image.networks import Networks
from tests.product import ROOT

START_SECONDS = 60.0
SUPERUSER = postgres.SUPERUSER


class Servers:
    """Starts them; `variables` are those of deploy/.env."""

    def __init__(
        self, compose: Mapping[str, Any], networks: Networks, directory: Path, variables: Mapping[str, str]
    ) -> None:
        self._services: Mapping[str, Any] = compose["services"]
        self._networks = networks
        self._directory = directory
        self._variables = variables
        self._running: list[subprocess.Popen[bytes]] = []
        (directory / "logs").mkdir()

    def postgres(self) -> None:
        """Start it with the superuser's password, then run logins.sh as the image's entry point does."""
        keys = StateFile(self._directory / "secrets.json")
        server = postgres.Postgres(self._directory, 5432, keys, durable=False)
        launch = server.launch()
        with (server.data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        enter, become = self._networks.enter("postgres"), launch.become

        def prepare() -> None:
            enter()
            if become is not None:
                become()

        command = [*launch.command, "-c", "listen_addresses=*"]
        self._start("postgres", command, launch.env, prepare=prepare, cwd=launch.cwd)
        binaries = postgres.binaries()
        self._wait("postgres", [str(binaries / "pg_isready"), "--host=127.0.0.1", "--quiet"])
        environment = {
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPASSWORD": keys.secret(f"database_{SUPERUSER}"),
            "POSTGRES_USER": SUPERUSER,
            "POSTGRES_DB": "scopekit",
            **self._services["postgres"]["environment"],
        }
        ask = ["psql", "-Xq", "-U", SUPERUSER, "-v", "ON_ERROR_STOP=1", "-d", "postgres"]
        password = self._variables["POSTGRES_PASSWORD"]
        for command in (
            [*ask, "-c", "CREATE DATABASE scopekit"],
            [*ask, "-c", f"ALTER ROLE {SUPERUSER} PASSWORD '{password}'"],
        ):
            self.run("postgres", command, environment)
        script = ["sh", str(ROOT / "deploy" / "postgres" / "logins.sh")]
        self.run("postgres", script, environment | {"PGPASSWORD": password})

    def psql(self, statement: str) -> None:
        """Run a statement as the superuser."""
        environment = {"PATH": os.environ["PATH"], "PGPASSWORD": self._variables["POSTGRES_PASSWORD"]}
        target = ["-h", "127.0.0.1", "-U", SUPERUSER, "-d", "scopekit", "-v", "ON_ERROR_STOP=1"]
        self.run("postgres", [str(postgres.binaries() / "psql"), "-Xq", *target, "-c", statement], environment)

    def valkey(self) -> None:
        """Start it by the file's own command; the image's entry point adds nothing to it."""
        tools = self._directory / "tools"
        tools.mkdir()
        (tools / "docker-entrypoint.sh").write_text('#!/bin/sh\nexec "$@"\n')
        (tools / "docker-entrypoint.sh").chmod(0o755)
        (tools / "valkey-server").symlink_to(valkey.binary())
        data = self._directory / "valkey"
        data.mkdir()
        service = self._services["valkey"]
        environment = {"PATH": f"{tools}:{os.environ['PATH']}", **service["environment"]}
        self._start("valkey", service["command"], environment, cwd=data)
        self._wait("valkey", ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/6379"])

    def s3(self, keys: Path, hosts: Path) -> None:
        """Start weed by the file's own command."""
        service, data = self._services["s3"], self._directory / "s3"
        data.mkdir()
        walls = ["bwrap", "--dev-bind", "/", "/", "--bind", str(data), "/data", "--ro-bind", str(keys), "/s3-keys"]
        walls += ["--ro-bind", str(hosts), "/etc/hosts", "--die-with-parent", "--"]
        tools = self._directory / "weed"
        tools.mkdir()
        (tools / "weed").symlink_to(seaweed.binary())
        environment = {"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(data), **service["environment"]}
        for place in ("/data", "/s3-keys"):
            Path(place).mkdir(exist_ok=True)
        self._start("s3", [*walls, "weed", *service["command"]], environment, cwd=data)
        test = service["healthcheck"]["test"][1:]
        self._wait("s3", [*walls, *test], seconds=90)

    def proxy(self, hosts: Path) -> None:
        """Start Debian's Caddy with the shipped Caddyfile; certificates are of its own authority."""
        text = (ROOT / "deploy" / "caddy" / "Caddyfile").read_text()
        text = text.replace("{\n\tservers {", "{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\tservers {", 1)
        file = self._directory / "Caddyfile"
        file.write_text(text)
        home = {"XDG_DATA_HOME": str(self._directory / "caddy"), "XDG_CONFIG_HOME": str(self._directory / "caddy")}
        environment = {"PATH": os.environ["PATH"], **self._services["proxy"]["environment"], **home}
        walls = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", str(hosts), "/etc/hosts", "--die-with-parent", "--"]
        caddy = shutil.which("caddy") or "caddy"
        self._start("proxy", [*walls, caddy, "run", "--config", str(file), "--adapter", "caddyfile"], environment)

    def run(self, service: str, command: Sequence[str], environment: Mapping[str, str]) -> str:
        """Run a command in a service's namespace; fails unless it ends with 0."""
        enter = self._networks.enter(service)
        done = subprocess.run(
            command, env=environment, check=False, capture_output=True, text=True, timeout=60, preexec_fn=enter
        )
        assert done.returncode == 0, f"{command[0]}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        """Stop all, the last one first."""
        for running in reversed(self._running):
            running.send_signal(signal.SIGTERM)
        for running in reversed(self._running):
            try:
                running.wait(10)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()

    def _start(
        self,
        service: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        prepare: Any = None,
        cwd: Path | None = None,
    ) -> None:
        with (self._directory / f"{service}.log").open("ab") as log:
            running = subprocess.Popen(
                list(map(str, command)),
                env=dict(environment),
                cwd=cwd,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=prepare or self._networks.enter(service),  # noqa: PLW1509 - no thread runs here
            )
        self._running.append(running)

    def _wait(self, service: str, check: Sequence[str], *, seconds: float = START_SECONDS) -> None:
        enter = self._networks.enter(service)

        def answers() -> bool:
            return subprocess.run(check, check=False, capture_output=True, preexec_fn=enter).returncode == 0

        assert wait_until(answers, seconds), (self._directory / f"{service}.log").read_text()[-3000:]

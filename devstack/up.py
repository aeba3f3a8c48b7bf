"""`make run`: the embedded stack, the bootstrap and the Procfile's processes, up together and down together."""

from __future__ import annotations

import argparse
import http.client
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from devstack.errors import EmbeddedError
from devstack.lock import DirectoryLock
from devstack.patience import Patience
from devstack.process import follow_parent
from devstack.stack import Endpoints, Stack
from devstack.state_file import LOOPBACK, StateFile, is_free, write_private
from devstack.supervisor import Supervisor, ignore_closed_output, read_procfile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_PORT = 8000
MAIL_CATCHER = "python -m devstack.mail_catcher"
BOOTSTRAP = (
    ("migrate", "python -m gateway migrate"),
    ("seed", "python -m devstack.seed"),
)
# What the command line needs to reach the running stack; kept in the data directory as `env`.
LOCAL = (
    *(
        "ENVIRONMENT",
        "DATABASE_URL",
        "DATABASE_WORKER_URL",
        "DATABASE_ADMIN_URL",
        "REDIS_URL",
        "EVENT_BUS",
        "BUS_URL",
        "PORT",
        "ALLOWED_ORIGINS",
    ),
    *("S3_ENDPOINT_URL", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "S3_REGION", "S3_BUCKET", "S3_ORIGINALS_BUCKET"),
    *("JWT_SECRETS", "INTERNAL_QUEUE_KEY", "SECRETS_FILE", "MAIL_URL"),
)
# A machine may be slow, or have other work: with a load of 25 on two cores a start took over 90 s. So it has as long as
# something moves: a line is written, or a process uses the CPU. What stands still that long will not come.
STILL_S = 90.0
# The web process drains its streams over DRAIN_SECONDS; workers hand back what does not finish.
STOP_WITHIN_S = {"web": 15.0, "worker": 30.0}
STOP_OTHERS_WITHIN_S = 10.0


class UpError(Exception):
    """ScopeKit cannot start or go on; the message says how to mend it."""


class Interrupted(Exception):
    """Somebody asked us to stop."""


@dataclass(frozen=True)
class Plan:
    """The configuration of a run: the caller's `environ` wins over every default made here."""

    directory: Path
    port: int
    procfile: Path
    environ: Mapping[str, str]
    bootstrap: tuple[tuple[str, str], ...] = BOOTSTRAP

    @property
    def url(self) -> str:
        """Where a browser finds the gateway."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def is_embedded(self) -> bool:
        """Whether the three servers are ours to run."""
        return not self.environ.get("DATABASE_URL")


class Up:
    """One run of the product on this machine."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._lock = DirectoryLock(plan.directory)
        self._stack = Stack(plan.directory, lock=self._lock)
        self._children = Supervisor(ROOT)
        self._signals = 0

    def run(self) -> None:
        """Run until asked to stop. Raises EmbeddedError or UpError when something fails; all is stopped then."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._asked_to_stop)
        try:
            self._start()
            self._watch()
        except Interrupted:
            say("Stopping ...")
        finally:
            self._signals = max(self._signals, 1)  # from here on a signal means: hurry
            self._stop()
        say("Stopped.")

    def _asked_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals == 1:
            raise Interrupted

    def _start(self) -> None:
        processes = read_procfile(self.plan.procfile)
        self._lock.acquire()
        self._lock.note(self.plan.url)
        if not is_free(self.plan.port):
            raise UpError(
                f"port {self.plan.port} is taken by another program. Stop that one, or choose another port: "
                f"PORT={self.plan.port + 1} make run",
            )
        env = self._environment()
        for name, command in processes.items():
            own = {"FUNCTION_NAME": "gateway" if name == "web" else name} | env
            self._lock.child(name, self._children.start(name, command, own, (self._lock.fd,)))
        self._await_ready()
        say(f"ScopeKit is ready: {self.plan.url}")
        if self.plan.is_embedded:
            say(f"Mail that would go out is at {self.plan.url}/dev/mail")
        say(f"Ctrl-C stops it; its data stays in {self.plan.directory}.")

    def _environment(self) -> dict[str, str]:
        """Start the servers that come first and return the processes' environment."""
        if not self.plan.is_embedded:
            say("DATABASE_URL is set: using servers of your own; `python -m gateway migrate` prepares a new database.")
            return child_environment(self.plan)
        say(f"Starting PostgreSQL, Valkey and the S3 store in {self.plan.directory} ...")
        env = local_environment(self.plan, self._stack.start())
        write_private(self.plan.directory / "env", "".join(f"{name}='{env[name]}'\n" for name in LOCAL if name in env))
        for name, command in self.plan.bootstrap:
            self._run_once(name, command, env)
        if env.get("MAIL_DIR"):
            catcher = self._children.start("mail", MAIL_CATCHER, env, (self._lock.fd,))
            self._lock.child("mail", catcher)
        return env

    def _run_once(self, name: str, command: str, env: Mapping[str, str]) -> None:
        self._lock.child(name, self._children.start(name, command, env, (self._lock.fd,)))
        code = self._children.wait(name, STILL_S)
        if code is None:
            raise UpError(f"`{command}` stood still for {STILL_S:.0f} s; its lines are above")
        if code != 0:
            raise UpError(f"`{command}` {_ending(code)}; its lines are above")

    def _await_ready(self) -> None:
        patience = Patience(STILL_S, self._children.progress)
        while not answers(self.plan.port):
            self._children.pump()
            self._check()
            if patience.is_over():
                raise UpError(
                    f"{self.plan.url}/readyz did not answer 200, and nothing moved for {STILL_S:.0f} s; "
                    "see the lines above",
                )

    def _watch(self) -> NoReturn:
        while True:
            self._children.pump()
            self._check()

    def _check(self) -> None:
        """Raise when anything that should run has ended."""
        self._stack.check()
        for name, code in self._children.ended().items():
            self._children.wait(name, 0)  # its last lines
            raise UpError(f"{name} {_ending(code)}; stopping the others")

    def _stop(self) -> None:
        """Stop in the Procfile's order, web first, then the servers they need."""
        self._lock_says_stopping()
        for name in self._children.names():
            deadline_s = STOP_WITHIN_S.get(name, STOP_OTHERS_WITHIN_S)
            if not self._children.stop(name, deadline_s, hurry=lambda: self._signals > 1):
                say(f"{name} did not stop when asked and was killed.")
        self._stack.stop()
        self._lock.release()

    def _lock_says_stopping(self) -> None:
        if self._lock.is_held:
            self._lock.stopping()


def child_environment(plan: Plan) -> dict[str, str]:
    """Return the caller's environment with this interpreter first in PATH and the port settled."""
    path = os.pathsep.join((str(Path(sys.executable).parent), plan.environ.get("PATH", os.defpath)))
    return {**plan.environ, "PATH": path, "PORT": str(plan.port), "PYTHONUNBUFFERED": "1"}


def local_environment(plan: Plan, endpoints: Endpoints) -> dict[str, str]:
    """Return the environment that points ScopeKit to the embedded servers."""
    secrets = StateFile(plan.directory / "secrets.json")
    rotated = plan.directory / "secrets.env"
    if not rotated.exists():
        write_private(rotated, "")
    made_up = {
        "ENVIRONMENT": "local",
        "DATABASE_URL": endpoints.gateway_url,
        "DATABASE_WORKER_URL": endpoints.worker_url,
        "DATABASE_ADMIN_URL": endpoints.admin_url,
        "REDIS_URL": endpoints.redis_url,
        "S3_ENDPOINT_URL": endpoints.s3_endpoint,
        "S3_ACCESS_KEY_ID": endpoints.s3_access_key,
        "S3_SECRET_ACCESS_KEY": endpoints.s3_secret_key,
        "S3_REGION": endpoints.s3_region,
        "S3_BUCKET": "site-visits",
        "JWT_SECRETS": secrets.secret("jwt_secret", 48),
        "INTERNAL_QUEUE_KEY": secrets.secret("internal_queue_key"),
        "SECRETS_FILE": str(rotated),
        # A receiver that is being written runs here too.
        "WEBHOOK_NETWORKS": "127.0.0.0/8",
        "ALLOWED_ORIGINS": f"http://{LOOPBACK}:{plan.port},http://localhost:{plan.port}",
    }
    theirs = {name: value for name, value in child_environment(plan).items() if value}
    return made_up | mail_environment(plan, theirs) | theirs


def mail_environment(plan: Plan, theirs: Mapping[str, str]) -> dict[str, str]:
    """Return where mails are caught, unless the caller names a mail server."""
    if "MAIL_URL" in theirs:
        return {}
    [port] = StateFile(plan.directory / "mail.json").ports(("mail",)).values()
    return {"MAIL_URL": f"smtp://{LOOPBACK}:{port}", "MAIL_DIR": str(plan.directory / "mail")}


def answers(port: int) -> bool:
    """Say whether the gateway calls itself ready."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def plan_from(environ: Mapping[str, str], arguments: argparse.Namespace) -> Plan:
    """Read the caller's choices. Raises UpError for a PORT that is none."""
    text = environ.get("PORT") or str(DEFAULT_PORT)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):  # noqa: PLR2004 - TCP's range
        raise UpError("PORT must be a number between 1 and 65535")
    return Plan(
        directory=Path(environ.get("SCOPEKIT_DIR") or ROOT / ".scopekit").absolute(),
        port=int(text),
        procfile=arguments.procfile,
        environ=environ,
        bootstrap=BOOTSTRAP if arguments.bootstrap else (),
    )


def main(argv: Sequence[str] = ()) -> int:
    """Run ScopeKit on this machine until Ctrl-C; the exit code is 0 when it was asked to stop."""
    parser = argparse.ArgumentParser(prog="python -m devstack.up", description=__doc__)
    parser.add_argument("--procfile", type=Path, default=ROOT / "Procfile", help="what to run (default: Procfile)")
    parser.add_argument("--with-parent", action="store_true", help="stop when the parent process ends, however it ends")
    parser.add_argument("--no-bootstrap", dest="bootstrap", action="store_false", help="neither migrate nor seed")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    if arguments.with_parent:
        follow_parent(signal.SIGTERM)
    try:
        Up(plan_from(os.environ, arguments)).run()
    except (EmbeddedError, UpError, OSError) as error:
        say(f"ScopeKit stopped: {error}")
        return 1
    return 0


def say(text: str) -> None:
    """Tell the person at the terminal."""
    with ignore_closed_output():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def _ending(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

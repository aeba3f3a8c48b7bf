"""The load client: compiled from client.c when it is first needed, and given orders line by line."""

import hashlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

SOURCE = Path(__file__).with_name("client.c")
POLL_SECONDS = 0.002
QUIT_SECONDS = 5.0


@dataclass(frozen=True)
class Wanted:
    """One stream to open; `header` is a whole header line or empty, `visit` a number from 0."""

    port: int
    path: str
    header: str
    visit: int


def build(source: Path = SOURCE) -> Path:
    """Return a compiled program. Exits with a plain message when this machine has no C compiler."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    binary = Path(tempfile.gettempdir()) / f"scopekit-{source.stem}-{digest}"
    if binary.exists():
        return binary
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise SystemExit("The benchmark needs a C compiler: on Debian and Ubuntu, apt-get install gcc libc6-dev")
    with tempfile.TemporaryDirectory(dir=binary.parent) as directory:
        fresh = Path(directory) / "client"
        done = subprocess.run(
            [compiler, "-O2", "-o", str(fresh), str(source)], check=False, capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            raise SystemExit(f"{source.name} does not compile here:\n{done.stderr}")
        fresh.rename(binary)
    return binary


class LoadClient:
    """A running client. Every order waits for its answer."""

    def __init__(self, process: "subprocess.Popen[bytes]", size: int) -> None:
        self._process = process
        self.size = size

    @classmethod
    @contextmanager
    def running(cls, streams: Sequence[Wanted], *options: str) -> Iterator[Self]:
        """Start a client for these streams; it opens none yet, and ends with the block."""
        with tempfile.NamedTemporaryFile("w", suffix=".streams") as file:
            file.writelines(f"{s.port}\t{s.path}\t{s.header}\t{s.visit}\n" for s in streams)
            file.flush()
            command = [str(build()), file.name, *options]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            try:
                client = cls(process, len(streams))
                client.ask("reset")  # answered once the file has been read
                yield client
            finally:
                _end(process)

    def ask(self, order: str) -> Any:
        """Give an order and return its answer. Raises when the client has died."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(order.encode() + b"\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise RuntimeError(f"The load client ended with {self._process.wait(QUIT_SECONDS)}")
        return orjson.loads(answer)

    def open_all(self, *, deadline_s: float) -> None:
        """Open every stream and wait until all are."""
        self.ask("open")
        self.wait_for("ready", self.size, deadline_s=deadline_s)

    def wait_for(self, count: str, least: int, *, deadline_s: float) -> None:
        """Wait until a count has reached `least`. Exits with the counts when it has not in time."""
        until = time.monotonic() + deadline_s
        while (stats := self.ask("stats" if count not in ("ready", "deliveries") else "behind"))[count] < least:
            if time.monotonic() > until:
                raise SystemExit(f"{count} stayed at {stats[count]} of {least}: {self.ask('stats')}")
            time.sleep(POLL_SECONDS)

    def mark(self, heads: Iterable[int]) -> None:
        """Tell which seq each visit has reached; `behind` then counts who is not there."""
        self.ask("mark " + " ".join(map(str, heads)))

    @property
    def pid(self) -> int:
        """The client's process."""
        return self._process.pid


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(QUIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(QUIT_SECONDS)

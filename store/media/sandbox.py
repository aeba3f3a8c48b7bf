"""What every helper process that opens hostile files has in common: its bare environment, its limits, its answers.

A helper speaks over its pipes: `READY` once, then for each request one JSON line with `bytes`, and that many bytes.
"""

import json
import os
import resource
import signal
from contextlib import suppress
from typing import Any, BinaryIO

READY = b"ready\n"
_PASSED_ON = frozenset(
    {"PATH", "LANG", "LD_LIBRARY_PATH", "TMPDIR", "SYSTEMROOT", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
)


def bare_environment() -> dict[str, str]:
    """Return what a helper may know of our environment: hostile bytes meet no secret of ours."""
    return {name: value for name, value in os.environ.items() if name.upper() in _PASSED_ON}


def confine(memory_bytes: int) -> None:
    """Keep a hostile file from hurting the machine: bounded memory, low priority, no core dump, deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(5)
    with suppress(OSError, ValueError):  # not every system can
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def write_answer(answers: BinaryIO, head: dict[str, Any], body: bytes) -> None:
    """Send one answer: its head as a JSON line that says how long the body is, then the body."""
    answers.write(json.dumps({**head, "bytes": len(body)}).encode() + b"\n" + body)
    answers.flush()

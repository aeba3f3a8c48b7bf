"""Holds an embedded stack until its standard input ends: `python -m tests.devstack.hold_stack DIRECTORY`.

Prints `UP {json}` with endpoints and pids, `DOWN` after a clean stop, `DEAD {reason}` when a server died.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import errno
import json
import select
import sys
from pathlib import Path

from devstack.errors import EmbeddedError
from devstack.servers import unprivileged
from devstack.stack import Stack


def main() -> int:
    """Hold it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--no-namespaces", action="store_true")
    arguments = parser.parse_args()
    if arguments.no_namespaces:
        unprivileged.libc = lambda: _NoNamespaces(None, use_errno=True)  # type: ignore[assignment, attr-defined]
    stack = Stack(arguments.directory, durable=False)
    try:
        tell("UP", dataclasses.asdict(stack.start()) | {"pids": stack.pids()})
        while not select.select([sys.stdin], [], [], 0.05)[0]:
            stack.check()
    except EmbeddedError as error:
        tell("DEAD", str(error))
        return 1
    finally:
        stack.stop()
    tell("DOWN", None)
    return 0


def tell(word: str, what: object) -> None:
    """Write one line."""
    sys.stdout.write(f"{word} {json.dumps(what)}\n")
    sys.stdout.flush()


class _NoNamespaces(ctypes.CDLL):
    """The C library as in a container that forbids user namespaces."""

    def unshare(self, _flags: int) -> int:
        """Refuse."""
        ctypes.set_errno(errno.EPERM)
        return -1


if __name__ == "__main__":
    sys.exit(main())

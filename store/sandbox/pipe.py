"""How a helper is started and how it speaks: over its pipes, with nothing else in its hands.

It writes `READY` once. A request is one JSON line, then the bytes it announces; an answer likewise, with `bytes`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

from store.sandbox.confinement import bare_environment

READY = b"ready\n"
_ROOT = Path(__file__).parents[2]


def command(module: str) -> list[str]:
    """Return the command line of the helper that is this module."""
    return [sys.executable, "-m", module]


def surroundings() -> dict[str, Any]:
    """Return the directory and the environment to start it in."""
    # A pool of threads for linear algebra, which no decoder uses, would keep a helper from its namespaces.
    return {"cwd": _ROOT, "env": bare_environment() | {"OPENBLAS_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}}


def start(command_line: list[str], *, niceness: int) -> "subprocess.Popen[bytes]":
    """Start a helper with pipes to its input and output, behind all that people wait for. From a thread.

    The event loop (uvloop) would start it by a fork: for a gateway of 150 MB that holds up every request for 10 to 40
    ms. A thread's `subprocess` uses vfork, which takes 1.
    """
    process = subprocess.Popen(  # noqa: S603 - our own module
        command_line,
        **surroundings(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    os.setpriority(os.PRIO_PROCESS, process.pid, niceness)
    return process


def say_ready(answers: BinaryIO) -> None:
    """Tell the parent that requests are taken."""
    answers.write(READY)
    answers.flush()


def write_answer(answers: BinaryIO, head: dict[str, Any], body: bytes) -> None:
    """Send one answer: its head as a JSON line that says how long the body is, then the body."""
    answers.write(json.dumps({**head, "bytes": len(body)}).encode() + b"\n" + body)
    answers.flush()

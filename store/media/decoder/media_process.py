"""The helper process of `media_client`: reads requests as JSON lines with their files, and answers each.

It is confined before it reads the first one: no credential, no network, no file but what comes by the pipe. It ends
when its input does, so it never outlives its parent.
"""

import hashlib
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from store.media.decoder import decode
from store.media.decoder.conversion import convert
from store.media.decoder.decode import Unreadable, check, join, render
from store.sandbox.confinement import confine
from store.sandbox.linux import exit_on
from store.sandbox.pipe import say_ready, write_answer

MEMORY_BYTES = 2 * 1024**3
# After so much work a helper makes room for a new one; a little later the kernel ends one that does not.
LIFE_CPU_SECONDS = 600
_LEAVE_CPU_SECONDS = 60


def main() -> None:
    """Serve until the input ends."""
    decode.load_decoders()
    confine(MEMORY_BYTES, cpu_seconds=LIFE_CPU_SECONDS + _LEAVE_CPU_SECONDS)
    exit_on(signal.SIGPROF)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    say_ready(answers)
    while time.process_time() < LIFE_CPU_SECONDS and (line := requests.readline()):
        request = json.loads(line)
        files = [requests.read(size) for size in request["sizes"]]
        write_answer(answers, *_serve(request, files))


def _serve(request: dict[str, Any], files: list[bytes]) -> tuple[dict[str, Any], bytes]:
    # Past its processor time the kernel ends us, in the middle of a decoder's C code too.
    signal.setitimer(signal.ITIMER_PROF, request["cpu_seconds"])
    try:
        return _TASKS[request["task"]](files, request)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _check(files: list[bytes], request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    (file,) = files
    bytes_found = {"size": len(file), "sha256": hashlib.sha256(file).hexdigest()}
    return {"outcome": "checked", "findings": asdict(check(file, request["content_type"])) | bytes_found}, b""


def _render(files: list[bytes], request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    return _made(lambda: render(files[0], request["content_type"], request["edge"]))


def _join(files: list[bytes], request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    return _made(lambda: join(files, request["content_type"]))


def _convert(files: list[bytes], request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    try:
        made = convert(files[0], request["content_type"])
    except Unreadable as problem:
        return {"outcome": "unreadable", "problem": str(problem)}, b""
    parts = [
        {"content_type": part.content_type, "size": len(part.body), "findings": asdict(part.findings)} for part in made
    ]
    return {"outcome": "made", "parts": parts}, b"".join(part.body for part in made)


def _made(make: Callable[[], bytes]) -> tuple[dict[str, Any], bytes]:
    try:
        return {"outcome": "made"}, make()
    except Unreadable as problem:
        return {"outcome": "unreadable", "problem": str(problem)}, b""


_TASKS = {"check": _check, "render": _render, "join": _join, "convert": _convert}


if __name__ == "__main__":
    main()

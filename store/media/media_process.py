"""The helper process of `store.media.media_client`: reads requests as JSON lines, fetches the file, opens it, answers.

It holds no credential: files reach it behind their request, or by signed URL. It ends when its input does, so it never
outlives its parent.
"""

import hashlib
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import httpx

from store.media.decode import Unreadable, check, join, render
from store.media.sandbox import READY, confine, write_answer

# Well below the parent's limit for one file: a slow store must not look like a broken file.
FETCH_SECONDS = 15.0
FETCH_BYTES = 104_857_600
# 100 megapixels take 400 MB, twice while they are turned.
MEMORY_BYTES = 3 * 1024**3


def main() -> None:
    """Serve until the input ends."""
    confine(MEMORY_BYTES)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    with httpx.Client(timeout=FETCH_SECONDS) as client:
        answers.write(READY)
        answers.flush()
        for line in requests:
            request = json.loads(line)
            sent = [requests.read(request["following"])] if request["following"] else []
            write_answer(answers, *_serve(client, request, sent))


def _serve(client: httpx.Client, request: dict[str, Any], sent: list[bytes]) -> tuple[dict[str, Any], bytes]:
    try:
        files = sent or [b"".join(_fetch(client, url) for url in urls) for urls in request["files"]]
    except httpx.HTTPError:
        return {"outcome": "unreachable"}, b""
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


def _made(make: Callable[[], bytes]) -> tuple[dict[str, Any], bytes]:
    try:
        return {"outcome": "made"}, make()
    except Unreadable as problem:
        return {"outcome": "unreadable", "problem": str(problem)}, b""


_TASKS = {"check": _check, "render": _render, "join": _join}


def _fetch(client: httpx.Client, url: str) -> bytes:
    data, until = bytearray(), time.monotonic() + FETCH_SECONDS
    with client.stream("GET", url) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_bytes():
            data += chunk
            if len(data) > FETCH_BYTES or time.monotonic() > until:
                raise httpx.HTTPError("larger than a medium may be, or too slow")
    return bytes(data)


if __name__ == "__main__":
    main()

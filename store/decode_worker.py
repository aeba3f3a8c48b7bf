"""The helper process of `store.decoder`: reads requests as JSON lines, fetches the file, opens it, answers.

It holds no credential: files reach it by signed URL. It ends when its input does, so it never outlives its parent.
"""

import json
import signal
import sys
import time
from dataclasses import asdict
from typing import Any

import httpx

from store.confined import READY, confine, write_answer
from store.decode import Unreadable, check, render

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
            write_answer(answers, *_serve(client, json.loads(line)))


def _serve(client: httpx.Client, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    try:
        data = _fetch(client, request["url"])
    except httpx.HTTPError:
        return {"outcome": "unreachable"}, b""
    # Past its processor time the kernel ends us, in the middle of a decoder's C code too.
    signal.setitimer(signal.ITIMER_PROF, request["cpu_seconds"])
    try:
        return _open(data, request["content_type"], request["edge"])
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _open(data: bytes, content_type: str, edge: int | None) -> tuple[dict[str, Any], bytes]:
    if edge is None:
        return {"outcome": "checked", "findings": asdict(check(data, content_type))}, b""
    try:
        return {"outcome": "rendered"}, render(data, content_type, edge)
    except Unreadable as problem:
        return {"outcome": "unreadable", "problem": str(problem)}, b""


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

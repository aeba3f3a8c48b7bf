"""The receivers of the how-to page, run as they stand there: what we sign is taken, all else is refused."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from store.webhooks import signature

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "webhooks.md"
BODY = b'{"type":"visit.created","timestamp":"2026-03-02T09:30:00Z","data":{"visit_id":"1"}}'
DEADLINE_SECONDS = 20


def _fence(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


@contextmanager
def _running(command: list[str], secret: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as receiver:
        try:
            _until_it_listens(port)
            yield f"http://127.0.0.1:{port}/", receiver
        finally:
            receiver.kill()


def _until_it_listens(port: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, "the page's receiver did not start"
        else:
            return


@pytest.mark.parametrize(("language", "name"), [("python", "receiver.py"), ("js", "receiver.mjs")])
def test_receiver_of_the_page_takes_what_is_signed_and_nothing_else(tmp_path: Path, language: str, name: str) -> None:
    """Also during a rotation; an event that comes twice is handled once."""
    program = tmp_path / name
    program.write_text(_fence(language), encoding="utf-8")
    runner = sys.executable if language == "python" else shutil.which("node")
    if runner is None:
        pytest.skip("node is not installed")
    old, new, other = (signature.new_secret() for _ in range(3))
    now = int(time.time())
    good = signature.headers("msg_1", now, BODY, [old])
    cases = [
        (good, BODY, 204),
        (good, BODY, 204),
        (signature.headers("msg_2", now, BODY, [new, old]), BODY, 204),
        (signature.headers("msg_3", now, BODY, [other]), BODY, 401),
        (good, BODY + b" ", 401),
        (signature.headers("msg_4", now - 600, BODY, [old]), BODY, 401),
        ({**good, "webhook-id": "msg_5"}, BODY, 401),
        ({}, BODY, 401),
    ]
    with _running([runner, str(program)], signature.text_of(old)) as (url, receiver):
        statuses = [httpx.post(url, content=body, headers=headers).status_code for headers, body, _ in cases]
        receiver.kill()
        assert receiver.stdout is not None
        printed = receiver.stdout.read()
    assert statuses == [expected for *_, expected in cases]
    assert printed.count("visit.created") == 2

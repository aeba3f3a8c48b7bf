import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from jobs.kinds.estimate.engines import model_client as helper
from store.documents import typesetter
from store.media.decoder import media_client as decoder
from store.objects.spool import Spool
from store.sandbox import survey
from store.sandbox.linux import PR_GET_DUMPABLE, prctl

WALLS = ("namespaces", "landlock", "capabilities", "seccomp")


@pytest.fixture
def listening() -> Iterator[dict[str, Any]]:
    """Listen on a port of loopback and on a socket without a file, as services of ours do."""
    name = f"scopekit-{uuid4()}"
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(f"\0{name}")
        local.listen()
        yield {"port": server.getsockname()[1], "abstract": name}


@pytest.fixture
def wanted(listening: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """Say what there is to get: our environment and memory, a file that anybody may read, a port."""
    (tmp_path / "secret").write_text("SECRET")
    (tmp_path / "secret").chmod(0o644)
    files = ["/etc/passwd", "/proc/self/maps", str(tmp_path / "secret"), str(Path.cwd() / "pyproject.toml")]
    return {"parent": os.getpid(), "files": files, **listening}


def _probe(helper: str, without: tuple[str, ...] = ()) -> Callable[[str], list[str]]:
    return lambda _module: [sys.executable, "-m", "tests.store.sandbox.sandbox_probe", helper, *without]


async def _from_the_decoder(wanted: dict[str, Any]) -> dict[str, str]:
    body = json.dumps(wanted).encode()
    with decoder.Decoder(1) as lent, closing(Spool(len(body))) as spool:
        spool.fill(memoryview(body))
        findings = await lent.check(spool, "image/jpeg")
    assert findings.problem is not None
    return dict(json.loads(findings.problem))


async def test_a_decoder_that_is_taken_over_gets_nothing(
    wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No environment, no memory, no socket, no file, no program, no descriptor of ours."""
    monkeypatch.setattr(decoder, "command", _probe("decoder"))
    assert await _from_the_decoder(wanted | {"no_socket_at_all": True}) == {}


@pytest.mark.parametrize("absent", WALLS)
async def test_each_wall_may_be_absent(absent: str, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a machine lacks one wall, the others keep everything in; a copy of itself is all that it may start."""
    monkeypatch.setattr(decoder, "command", _probe("decoder", (absent,)))
    assert (await _from_the_decoder(wanted)).keys() <= {"fork"}


async def test_the_probe_finds_what_there_is(wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without walls the same probe reads, connects and starts programs: its silence means something."""
    monkeypatch.setattr(decoder, "command", _probe("decoder", WALLS))
    got = await _from_the_decoder(wanted | {"stays": True})
    loose = {f"environ of {os.getpid()}", "memory by call", "loopback", "abstract socket", "fork", "shell", "signal"}
    assert loose | {f"read {path}" for path in wanted["files"]} <= got.keys()


async def test_a_typesetter_that_is_taken_over_gets_nothing(
    wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a document."""
    monkeypatch.setattr(typesetter, "command", _probe("typesetter"))
    assert json.loads(await typesetter.Typesetter().set(wanted, {}, tenant=None)) == {}


async def test_a_speech_model_that_is_taken_over_gets_nothing(
    wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a recording; it may read Python's packages and models, and they hold no secret."""
    monkeypatch.setattr(helper, "command", _probe("model"))
    lent = helper.Helper()
    try:
        answer, _ = await lent.ask({"work": "any"}, json.dumps(wanted).encode(), seconds=60)
    finally:
        await lent.aclose()
    assert json.loads(answer["problem"]) == {}


async def test_the_survey_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here nothing is; a machine without Landlock would be told so."""
    assert await survey.missing_walls() == []
    probe = "from store.sandbox import landlock, survey; import json, sys\ndef no(*_): raise OSError\n"
    probe += "landlock.restrict = no; print(json.dumps(survey.confine(1 << 30)))"
    monkeypatch.setattr(survey, "command", lambda _module: [sys.executable, "-c", probe])
    assert await survey.missing_walls() == ["landlock"]


async def test_a_process_with_keys_is_closed_to_its_own_user() -> None:
    """The gateway and the worker hide their memory as they start: it is asked of a process that does as they do."""
    code = (
        "from store.sandbox.confinement import hide_memory; from store.sandbox.linux import *;"
        "hide_memory(); print(prctl(PR_GET_DUMPABLE))"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    told, _ = await child.communicate()
    assert (prctl(PR_GET_DUMPABLE), told) == (1, b"0\n")

"""What helpers hold together is bounded: the largest is ended, the others go on."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from store.errors import Unavailable
from store.media.decoder import media_client
from store.media.decoder.media_client import Decoder
from store.objects.spool import Spool
from store.sandbox.memory_cap import LEAST_BYTES, MemoryCap, Watched, default_cap, held_by
from tests.gateway.uploads.files import files

MIB = 1024**2
# Holds so much, says so, and waits; with "child" in a child of its own, as a helper in namespaces does.
_HOLD = """
import os, sys
child = sys.argv[2] == "child" and os.fork()
if child:
    os.wait()
held = bytearray(int(sys.argv[1]))
held[::4096] = b"x" * len(held[::4096])
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holding(size: int, where: str = "itself") -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds so many bytes."""
    command = [sys.executable, "-c", _HOLD, str(size), where]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("where", ["itself", "child"])
def test_beyond_the_cap_the_largest_is_ended(where: str) -> None:
    """Of three that hold 300 MiB together under a cap of 200, the one with 200 goes."""
    cap = MemoryCap(lambda: 200 * MIB, look_seconds=0.01)
    with ExitStack() as opened:
        processes = [opened.enter_context(holding(size * MIB, where)) for size in (50, 200, 50)]
        watched = [opened.enter_context(cap.watching(process.pid)) for process in processes]
        assert processes[1].wait(timeout=20) != 0
        assert [each.ended for each in watched] == [False, True, False]
        assert [process.poll() for process in (processes[0], processes[2])] == [None, None]


def test_below_the_cap_nobody_is_ended() -> None:
    """What is held counts with its children, and is looked at without harm."""
    cap = MemoryCap(lambda: 400 * MIB)
    with holding(100 * MIB, "child") as process:
        assert 100 * MIB < held_by(process.pid) < 200 * MIB
        watched = Watched(process.pid)
        cap._look([watched], 400 * MIB)
        assert not watched.ended


def test_a_number_that_is_another_process_now_is_left_alone() -> None:
    """Only a child of this process is ended: here the parent stands for a stranger."""
    import os

    stranger = Watched(os.getppid())
    stranger.end()
    assert held_by(os.getppid()) > 0


async def test_a_file_that_was_given_up_for_the_others_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looked at it: it may be tried again."""
    monkeypatch.setattr(media_client, "HELPERS", MemoryCap(lambda: 1, look_seconds=0.001))
    with closing(Spool()) as spool:
        spool.fill(memoryview(files.png(8000, 8000)))
        with Decoder(1) as decoder, pytest.raises(Unavailable):
            await decoder.render(spool, "image/png", 2000)


def test_the_cap_leaves_room_for_one_helper() -> None:
    """However small the machine, one helper may have what is its own."""
    assert default_cap() >= LEAST_BYTES

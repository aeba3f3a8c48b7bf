import asyncio
import fcntl
import hashlib
import io
import os
import signal
import termios
from array import array
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from store.errors import NotFound, Unavailable
from store.media.decoder.decode import MAX_PIXELS, check, render
from store.media.decoder.media_client import TOO_HARD, Decoder
from store.objects.objects import ObjectStore
from store.objects.spool import Spool
from tests.gateway.uploads.files import files
from tests.tenants import Tenant


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    """Lend one helper process."""
    with Decoder(1) as lent:
        yield lent


def _spooled(body: bytes) -> Spool:
    spool = Spool(len(body))
    spool.fill(memoryview(body))
    return spool


@pytest.fixture
def photo() -> Iterator[Spool]:
    """Lend a JPEG on this disk."""
    with closing(_spooled(files.jpeg())) as spool:
        yield spool


def _helper(decoder: Decoder) -> int:
    process = decoder._helpers[0]._process
    assert process is not None
    return process.pid


def _inside(decoder: Decoder) -> int:
    """Return the process that opens files: in a PID namespace, the only child of the one that was started."""
    outer = _helper(decoder)
    (inner,) = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
    return int(inner)


def _stop(pid: int) -> None:
    """Stop a helper, and return when it has stopped: before that it might still read a request."""
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        pass


def _has_been_asked(decoder: Decoder) -> bool:
    """Tell whether a request lies in the helper's pipe."""
    process = decoder._helpers[0]._process
    assert process is not None
    assert process.stdin is not None
    waiting = array("i", [0])
    fcntl.ioctl(process.stdin.fileno(), termios.FIONREAD, waiting)
    return waiting[0] > 0


async def test_one_helper_looks_at_many_files(decoder: Decoder, photo: Spool) -> None:
    """It is started once and answers in turn, findings and pictures alike."""
    first = await decoder.check(photo, "image/jpeg")
    pid = _helper(decoder)
    assert (first.width, first.height, first.problem) == (600, 800, None)
    assert (first.size, first.sha256) == (len(files.jpeg()), hashlib.sha256(files.jpeg()).hexdigest())
    assert Image.open(io.BytesIO(await decoder.render(photo, "image/jpeg", 100))).size == (75, 100)
    assert _helper(decoder) == pid


async def test_a_file_may_be_let_go_while_it_is_opened(decoder: Decoder, photo: Spool) -> None:
    """The decoder holds it by itself."""
    spool = _spooled(files.jpeg())
    looking = asyncio.create_task(decoder.check(spool, "image/jpeg"))
    await asyncio.sleep(0)  # lets the task hand its file over
    spool.close()
    assert await looking == await decoder.check(photo, "image/jpeg")


async def test_a_file_that_takes_too_much_work_costs_its_helper_only(photo: Spool) -> None:
    """Past its processor time the file has a problem, and the next file finds a new helper."""
    large = files.png(7000, 7000)
    with Decoder(1, cpu_seconds=0.1) as decoder, closing(_spooled(large)) as hard:
        assert (await decoder.check(photo, "image/jpeg")).problem is None
        pid = _helper(decoder)
        assert (await decoder.check(hard, "image/png")).problem == TOO_HARD
        assert (await decoder.check(photo, "image/jpeg")).problem is None
        assert _helper(decoder) != pid


async def test_a_file_that_kills_its_helper_is_too_hard(decoder: Decoder, photo: Spool) -> None:
    """A crash in a decoder's own code, or the kernel's memory guard, is the file's problem."""
    await decoder.check(photo, "image/jpeg")
    pid = _inside(decoder)
    _stop(pid)
    under_way = asyncio.create_task(decoder.check(photo, "image/jpeg"))
    async with asyncio.timeout(10):
        while not _has_been_asked(decoder):  # noqa: ASYNC110 - a stopped process tells nobody
            await asyncio.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        assert (await under_way).problem == TOO_HARD


async def test_a_machine_without_time_blames_no_file(photo: Spool) -> None:
    """A helper that gets no turn is replaced, and the file is not called broken."""
    with Decoder(1, file_seconds=3) as decoder:
        await decoder.check(photo, "image/jpeg")
        pid = _inside(decoder)
        _stop(pid)
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable):
                await decoder.check(photo, "image/jpeg")
        assert (await decoder.check(photo, "image/jpeg")).problem is None
        assert _inside(decoder) != pid


async def test_the_loop_goes_on_while_a_helper_works(photo: Spool) -> None:
    """A file that hangs its helper holds up nobody but itself."""
    with Decoder(1, file_seconds=5) as decoder:
        await decoder.check(photo, "image/jpeg")
        pid = _inside(decoder)
        _stop(pid)
        stuck = asyncio.create_task(decoder.check(photo, "image/jpeg"))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not stuck.done()
        os.kill(pid, signal.SIGCONT)
        async with asyncio.timeout(10):
            assert (await stuck).problem is None


async def test_an_object_is_lent_as_a_file(objects: ObjectStore, tenant: Tenant) -> None:
    """Several are lent one behind the other; one that is gone is told."""
    keys = [f"{tenant.id}/one", f"{tenant.id}/two"]
    for key in keys:
        await objects.put(key, key.encode(), content_type="image/jpeg")
    async with objects.spooled(*keys) as spool:
        assert spool.body().read() == "".join(keys).encode()
    with pytest.raises(NotFound):
        async with objects.spooled(keys[0], f"{tenant.id}/three"):
            pass


async def test_closing_in_the_middle_is_prompt_and_blames_no_file(photo: Spool) -> None:
    """Helpers are gone when `close` returns, and a file under way is not called broken."""
    decoder = Decoder(1)
    await decoder.check(photo, "image/jpeg")
    pid = _inside(decoder)
    _stop(pid)
    under_way = asyncio.create_task(decoder.check(photo, "image/jpeg"))
    await asyncio.sleep(0)  # lets the task hand its file over
    async with asyncio.timeout(5):
        await asyncio.to_thread(decoder.close)
        with pytest.raises(Unavailable):
            await under_way
    async with asyncio.timeout(5):
        while os.path.exists(f"/proc/{pid}"):  # noqa: ASYNC110, ASYNC240, PTH110 - another's child tells nobody that it has ended
            await asyncio.sleep(0.01)


async def test_helpers_see_no_secret(decoder: Decoder, photo: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What opens strangers' files knows neither our keys nor our database."""
    monkeypatch.setenv("S3_SECRET_ACCESS_KEY", "do-not-leak")
    await decoder.check(photo, "image/jpeg")
    environ = await asyncio.to_thread(Path(f"/proc/{_inside(decoder)}/environ").read_bytes)
    assert environ
    assert b"do-not-leak" not in environ


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png", "image/webp", "image/heic"])
@pytest.mark.parametrize("body", [b"", b"\0" * 100, files.jpeg()[:20], files.heic()[:40], files.png()[:30]])
def test_no_bytes_are_too_broken_to_be_answered(kind: str, body: bytes) -> None:
    """Whatever a photo's bytes are, the answer is a sentence."""
    problem = check(body, kind).problem
    assert problem is not None
    assert problem.endswith(".")


@pytest.mark.parametrize("kind", ["audio/webm", "audio/mp4", "audio/aac", "audio/mpeg"])
@pytest.mark.parametrize("body", [b"", b"\0" * 100, files.recording()[:40], b"#EXTM3U\nhttp://127.0.0.1/x\n" * 9])
def test_no_sound_is_too_broken_to_be_answered(kind: str, body: bytes) -> None:
    """Nor for a recording; a playlist is not followed."""
    assert check(body, kind).problem is not None


@pytest.mark.parametrize("container", ["webm", "mp4", "mp3", "adts"])
def test_a_recording_that_breaks_off_is_worth_its_first_part(container: str) -> None:
    """What can be heard counts."""
    body = files.recording(container)
    kind = {"mp3": "audio/mpeg", "adts": "audio/aac"}.get(container, f"audio/{container}")
    findings = check(body[: len(body) // 2], kind)
    assert findings.problem is None
    assert findings.duration_ms is not None
    assert 300 < findings.duration_ms < 1700


def test_the_pixel_limit_is_exact() -> None:
    """100 megapixels are opened, a row more is not, and neither is decoded before it is counted."""
    assert "megapixels" in (check(files.png_bomb(10_000, MAX_PIXELS // 10_000 + 1), "image/png").problem or "")
    assert "incomplete" in (check(files.png_bomb(10_000, MAX_PIXELS // 10_000), "image/png").problem or "")


def test_sixteen_bits_and_wide_colours_come_out_right() -> None:
    """A 16-bit scan keeps its grey; a profile is applied and then dropped."""
    out = io.BytesIO()
    Image.new("I;16", (20, 10), 40_000).save(out, "PNG")
    grey = Image.open(io.BytesIO(render(out.getvalue(), "image/png", 400)))
    assert abs(int(grey.getpixel((5, 5))[0]) - 156) < 4  # type: ignore[index]

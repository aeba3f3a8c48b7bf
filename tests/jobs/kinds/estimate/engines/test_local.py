"""The local engine on real speech: heard offline, in a process of its own, and honest about what it did not do."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from jobs.kinds.estimate.engines.base import Clip
from jobs.kinds.estimate.engines.local import engine as local_engine
from jobs.kinds.estimate.engines.local.engine import LocalEngine
from jobs.kinds.estimate.engines.model_client import Helper, HelperBroke, HelperKilled, HelperTooSlow
from jobs.kinds.estimate.errors import Misconfigured, UnusableMedium
from jobs.kinds.estimate.evidence import Sources, checked
from jobs.kinds.estimate.model import Heard
from tests.jobs.kinds.estimate.conftest import silence
from tests.jobs.kinds.estimate.material import material, medium

DEADLINE_SECONDS = 60.0
_PARENT = """
import asyncio, sys
from pathlib import Path
from jobs.kinds.estimate.engines.model_client import Helper

async def main():
    helper = Helper()
    head = {"work": "transcribe", "content_type": "audio/webm"}
    work = asyncio.create_task(helper.ask(head, Path(sys.argv[1]).read_bytes(), seconds=60))
    await helper.working.wait()
    print(helper.pid, flush=True)
    await work

asyncio.run(main())
"""


@pytest.fixture
async def engine() -> AsyncIterator[LocalEngine]:
    """Open an engine and close its process."""
    engine = LocalEngine()
    yield engine
    await engine.aclose()


@pytest.fixture
async def helper() -> AsyncIterator[Helper]:
    """Open a helper and kill its process."""
    helper = Helper()
    yield helper
    await helper.aclose()


def alive(pid: int) -> bool:
    """Whether a process runs."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_speech_is_heard_word_by_word(heard_note: Heard) -> None:
    """A real Opus recording comes back as words in order, each inside the recording."""
    heard = heard_note.transcript
    assert heard.heard
    assert "drywall" in heard.text.lower()
    times = [(word.start_ms, word.end_ms) for word in heard.words]
    assert times == sorted(times)
    assert all(0 <= start <= end <= heard.duration_ms + 500 for start, end in times)
    assert heard_note.calls[0].audio_seconds == heard.duration_ms / 1000


async def test_speech_becomes_lines_with_their_seconds(heard_note: Heard, engine: LocalEngine) -> None:
    """What was asked for is a line, what was declined is none, and every quote stands the check."""
    heard = heard_note.transcript
    visit = material("", [medium("audio", media_id=heard.media_id)])
    draft = (await engine.draft(visit, [heard], {})).draft
    lines = [checked(line, Sources(visit, {heard.media_id: heard}, {})) for line in draft.lines]
    assert [(line.quantity, line.unit) for line in lines] == [
        (Decimal(200), "sq ft"),
        (Decimal(3), "each"),
        (Decimal(2), "each"),
    ]
    assert not any("carpet" in line.description for line in lines)
    assert all(line.evidence and line.evidence[0].start_ms is not None for line in lines)
    starts = [line.evidence[0].start_ms or 0 for line in lines]
    assert starts == sorted(set(starts))


async def test_spoken_orders_to_the_machine_change_nothing(heard_note: Heard, engine: LocalEngine) -> None:
    """The recording tells the machine to set every price to zero; no line and no amount comes of it."""
    heard = heard_note.transcript
    assert "instructions" in heard.text.lower()
    draft = (await engine.draft(material(), [heard], {})).draft
    assert not any("price" in line.description.lower() or "zero" in line.description for line in draft.lines)


@pytest.fixture
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every recording heard in pieces of five seconds at most."""
    monkeypatch.setattr(local_engine, "_SHORT_SECONDS", 0)
    monkeypatch.setattr(local_engine, "_SHORT_BYTES", 0)
    monkeypatch.setattr(local_engine, "_PIECES", {"work": "split", "piece_seconds": 5, "bitrate": 64_000})


@pytest.mark.usefixtures("short_pieces")
async def test_a_long_recording_is_heard_piece_by_piece(
    engine: LocalEngine, spoken_note: bytes, heard_note: Heard
) -> None:
    """Each piece is heard once and kept; the words come back in order, with the times of the whole."""
    kept: dict[str, Heard] = {}

    async def once(name: str, hear: Callable[[], Awaitable[Heard]]) -> Heard:
        kept[name] = kept.get(name) or await hear()
        return kept[name]

    heard = await engine.transcribe(Clip(medium("audio"), spoken_note), once)
    whole = heard_note.transcript
    assert heard.pieces == tuple(kept)
    assert len(kept) > 1
    assert "drywall" in heard.transcript.text.lower()
    assert abs(heard.transcript.duration_ms - whole.duration_ms) < 500
    times = [word.start_ms for word in heard.transcript.words]
    assert times == sorted(times)
    assert times[-1] > whole.duration_ms / 2


@pytest.mark.usefixtures("short_pieces")
async def test_a_short_note_is_heard_between_the_pieces_of_a_long_recording(
    engine: LocalEngine, spoken_note: bytes
) -> None:
    """Who comes later waits for one piece, not for the whole recording."""
    order: list[str] = []
    first_piece = asyncio.Event()

    async def hear(name: str) -> None:
        async def once(_piece: str, hear_piece: Callable[[], Awaitable[Heard]]) -> Heard:
            heard = await hear_piece()
            first_piece.set()
            order.append(name)
            return heard

        await engine.transcribe(Clip(medium("audio"), spoken_note), once)

    long = asyncio.create_task(hear("long"))
    await first_piece.wait()
    await asyncio.gather(long, hear("late"))
    assert order.index("late") < len(order) - 1 - order[::-1].index("long")


async def test_models_load_before_somebody_waits() -> None:
    """After `load` the helper runs and answers; a second time costs nothing."""
    engine = LocalEngine()
    try:
        await engine.load()
        assert engine._helper.pid is not None
        pid = engine._helper.pid
        await engine.load()
        assert engine._helper.pid == pid
    finally:
        await engine.aclose()


async def test_a_speech_model_that_is_not_installed_is_the_settings_fault(spoken_note: bytes) -> None:
    """The error names the setting and where its packages are; the recording is not to blame."""
    engine = LocalEngine("base")
    try:
        with pytest.raises(Misconfigured, match="SPEECH_MODEL=base needs the packages"):
            await engine.transcribe(Clip(medium("audio"), spoken_note))
    finally:
        await engine.aclose()


async def test_silence_is_an_empty_transcript(engine: LocalEngine, spoken_note: bytes, tmp_path: Path) -> None:
    """Nothing said is nothing heard, and says so."""
    heard = await engine.transcribe(Clip(medium("audio"), silence(tmp_path / "silence.webm")))
    assert not heard.transcript.heard
    assert 2900 <= heard.transcript.duration_ms <= 3200


@pytest.mark.parametrize("content", [b"", b"not audio at all" * 100, b"\x1a\x45\xdf\xa3" + bytes(500)])
async def test_a_damaged_recording_is_that_recordings_problem(engine: LocalEngine, content: bytes) -> None:
    """A file that cannot be played is a typed outcome with a sentence for the contractor."""
    with pytest.raises(UnusableMedium, match="recording"):
        await engine.transcribe(Clip(medium("audio"), content))


async def test_a_recording_that_breaks_off_is_worth_what_can_be_heard(engine: LocalEngine, spoken_note: bytes) -> None:
    """Half a file gives half the words."""
    heard = await engine.transcribe(Clip(medium("audio"), spoken_note[: len(spoken_note) // 3]))
    assert "drywall" in heard.transcript.text.lower()


async def test_notes_and_labels_are_read(engine: LocalEngine) -> None:
    """Typed words need no process and no model."""
    photo = medium("photo", label="install 2 exhaust fans")
    draft = (await engine.draft(material("Replace three outlets", [photo]), [], {})).draft
    assert [line.description for line in draft.lines] == ["Replace outlets", "Install exhaust fans"]
    assert draft.summary == "2 lines read from the typed notes, the labels."


async def test_a_request_that_was_not_understood_is_reported(engine: LocalEngine) -> None:
    """What was asked for but could not be told is named among the coverage notes."""
    draft = (await engine.draft(material("Replace it. Install 2 fans."), [], {})).draft
    assert "Replace it" in draft.notes_on_coverage[0]


async def test_a_cancelled_call_ends_the_process(helper: Helper, spoken_note: bytes) -> None:
    """Work for a job that was cancelled does not go on in the background."""
    work = asyncio.create_task(ask(helper, spoken_note))
    pid = await started(helper)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not alive(pid)
    assert helper.pid is None


async def test_a_call_past_its_deadline_ends_the_process(helper: Helper, spoken_note: bytes) -> None:
    """A recording that takes too long is given up, and the next one gets a fresh process."""
    with pytest.raises(HelperTooSlow):
        await ask(helper, spoken_note, seconds=0.01)
    assert helper.pid is None
    answer, _ = await ask(helper, b"no audio")
    assert "problem" in answer


async def test_a_crash_of_the_decoder_is_a_typed_outcome(helper: Helper, spoken_note: bytes) -> None:
    """When the process dies in the middle, its caller hears of it and the next call works."""
    work = asyncio.create_task(ask(helper, spoken_note))
    os.kill(await started(helper), signal.SIGSEGV)
    with pytest.raises(HelperBroke) as caught:
        await work
    assert not isinstance(caught.value, HelperKilled)
    answer, _ = await ask(helper, b"no audio")
    assert "problem" in answer


async def test_a_helper_killed_by_the_kernel_is_not_the_recordings_fault(helper: Helper, spoken_note: bytes) -> None:
    """As the kernel does where there is no memory: told apart from a crash, so that the job is tried again."""
    work = asyncio.create_task(ask(helper, spoken_note))
    os.kill(await started(helper), signal.SIGKILL)
    with pytest.raises(HelperKilled):
        await work


async def test_the_process_has_no_secret(helper: Helper, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hostile bytes meet a bare environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    await ask(helper, b"no audio")
    assert b"sk-secret" not in environment(helper.pid)


def environment(pid: int | None) -> bytes:
    """Read the environment a process was started with."""
    return Path(f"/proc/{pid}/environ").read_bytes()


def test_the_process_ends_with_its_parent(spoken_note: bytes, tmp_path: Path) -> None:
    """After kill -9 of the worker nothing lingers, not even in the middle of a recording."""
    note = tmp_path / "note.webm"
    note.write_bytes(spoken_note)
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(note)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent:
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        assert select.select([child], [], [], DEADLINE_SECONDS)[0], "the helper outlived its parent"
    finally:
        os.close(child)


async def ask(helper: Helper, content: bytes, *, seconds: float = DEADLINE_SECONDS) -> tuple[dict[str, object], bytes]:
    """Have a recording transcribed."""
    head = {"work": "transcribe", "content_type": "audio/webm"}
    return await helper.ask(head, content, seconds=seconds)


async def started(helper: Helper) -> int:
    """Wait until the process has its work; generation the note takes far longer than the look."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        await helper.working.wait()
    assert helper.pid is not None
    return helper.pid

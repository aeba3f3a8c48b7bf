"""Whisper's `base` from the two wheels of its lock hears a note. By `make interop` alone: 145 MB."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.conftest import INSTALL
from tests.support.material import need_speech, voice_note

ROOT = Path(__file__).parents[2]
SAID = "Install three outlets in the kitchen. Replace two toilets."
HEAR = """
import sys
from pathlib import Path
from jobs.kinds.estimate.engines.local import speech_to_text
heard = speech_to_text.transcribe(Path(sys.argv[1]).read_bytes(), "audio/webm", speech_to_text.BASE)
sys.stdout.write(f"{heard['language']}: {heard['text']}")
"""


@pytest.mark.timeout(900)
def test_base_hears_from_its_wheels(tmp_path: Path) -> None:
    """The halves are joined in memory, and the language is heard."""
    need_speech()
    note = voice_note(tmp_path / "note.webm", SAID)
    lock, wheels = ROOT / "deploy" / "speech-base.lock", tmp_path / "wheels"
    subprocess.run((sys.executable, *INSTALL, "--target", str(wheels), "-r", str(lock)), check=True, timeout=600)
    program = f"import sys; sys.path.append({str(wheels)!r})\n{HEAR}"
    done = subprocess.run(
        (sys.executable, "-c", program, str(note)), cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.startswith("en: ")
    assert "outlets" in done.stdout.lower()


def test_its_lock_pins_by_hash() -> None:
    """Two wheels, each by version and hash, and without an address."""
    text = (ROOT / "deploy" / "speech-base.lock").read_text()
    assert text.count("==1.0.0") == text.count("--hash=sha256:") == 2
    assert "://" not in text

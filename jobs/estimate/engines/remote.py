"""The engine behind OpenAI's API, or any other endpoint that speaks it: Responses and audio transcriptions.

One try per call (`max_retries=0`): the queue is the only layer that retries.
"""

from __future__ import annotations

import asyncio
import base64
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

import openai
from pydantic import BaseModel, ValidationError

from jobs.estimate.engines import prompts
from jobs.estimate.engines.base import Clip
from jobs.estimate.engines.cost import priced, read_prices
from jobs.estimate.engines.glossary import GLOSSARY
from jobs.estimate.engines.helper import Helper, HelperBroke, HelperTooSlow
from jobs.estimate.engines.remote_answers import draft_of, joined, observations_of, transcript_of
from jobs.estimate.engines.remote_errors import as_ours, require_complete
from jobs.estimate.engines.remote_probe import Probe
from jobs.estimate.engines.remote_schema import DraftAnswer, Envelope, LookAnswer, Spoken, text_format
from jobs.estimate.errors import MalformedAnswer, Misconfigured, Refused, UnusableMedium
from jobs.estimate.model import Drafted, Heard, ModelCall, Seen
from store.events import storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal
    from uuid import UUID

    from config.settings import Settings
    from jobs.estimate.engines.base import Photo
    from jobs.estimate.engines.cost import ModelPrice
    from jobs.estimate.material import Material
    from jobs.estimate.model import Observations, Transcript

Answer = TypeVar("Answer", bound=BaseModel)

_CONNECT_SECONDS = 10.0
_PHOTO_EDGE = 2000
_PHOTO_SECONDS = 60.0
_SPLIT_SECONDS = 300.0
_LOOK_TOKENS, _DRAFT_TOKENS = 4_000, 16_000
# The provider's own limit for one file.
_AUDIO_BYTES = 25 * 1024 * 1024
_FILE_NAMES = {"audio/webm": "clip.webm", "audio/mp4": "clip.m4a", "audio/mpeg": "clip.mp3"}
# These answer text alone; the others give times.
_WITHOUT_TIMES = ("gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-transcribe")


class OpenAIEngine:
    """Implements `Engine`."""

    name = "openai"
    audio_bytes = _AUDIO_BYTES

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        model: str,
        speech_model: str,
        timeout_s: float,
        prices: Mapping[str, ModelPrice] | None = None,
    ) -> None:
        self.model = model
        self._prices = prices or {}
        self.speech_model = speech_model
        self._client = client
        self._probe = Probe(client, {"OPENAI_MODEL": model, "OPENAI_TRANSCRIBE_MODEL": speech_model})
        self._timeout_s = timeout_s
        self._helper = Helper()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Build it from the settings. Raises `Misconfigured` without a key."""
        if settings.openai_api_key is None:
            raise Misconfigured("Set OPENAI_API_KEY, or ESTIMATE_ENGINE=local.")
        client = openai.AsyncOpenAI(
            api_key=settings.openai_api_key.get_secret_value(),
            base_url=settings.openai_base_url,
            max_retries=0,
            timeout=openai.Timeout(settings.openai_timeout_seconds, connect=_CONNECT_SECONDS),
        )
        return cls(
            client,
            model=settings.openai_model,
            speech_model=settings.openai_transcribe_model,
            timeout_s=settings.openai_timeout_seconds,
            prices=read_prices(settings.openai_prices),
        )

    async def aclose(self) -> None:
        """Close connections and the helper that opens photos."""
        await self._helper.aclose()
        await self._client.close()

    async def transcribe(self, clip: Clip) -> Heard:
        """Hear one recording; one that is too large for the provider in pieces, cut where the speaker pauses."""
        if clip.medium.content_type not in _FILE_NAMES or len(clip.content) > self.audio_bytes:
            heard = [(offset, await self._hear(piece)) for offset, piece in await self._pieces(clip)]
        else:
            heard = [(0, await self._hear(clip))]
        transcript = joined([(offset, one.transcript) for offset, one in heard])
        return Heard(transcript=transcript, calls=tuple(call for _, one in heard for call in one.calls))

    async def look(self, photo: Photo) -> Seen:
        """Look at one photo, sent as an upright JPEG."""
        jpeg = await self._jpeg(photo)
        image = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        content = [
            {"type": "input_text", "text": prompts.look_data(photo.medium)},
            {"type": "input_image", "image_url": image, "detail": "high"},
        ]
        answer, call = await self._respond("look", prompts.LOOK, content, LookAnswer, _LOOK_TOKENS)
        return Seen(observations=observations_of(answer, photo.medium), calls=(call,))

    async def draft(
        self,
        material: Material,
        transcripts: Sequence[Transcript],
        observations: Mapping[UUID, Observations],
    ) -> Drafted:
        """Draft from the words of all sources; the photos were looked at before."""
        data = prompts.draft_data(material, transcripts, observations)
        content = [{"type": "input_text", "text": data}]
        answer, call = await self._respond("draft", prompts.DRAFT, content, DraftAnswer, _DRAFT_TOKENS)
        return Drafted(draft=draft_of(answer, material, model=self.model), calls=(call,))

    async def _respond(
        self,
        purpose: Literal["look", "draft"],
        instructions: str,
        content: list[dict[str, str]],
        kind: type[Answer],
        max_tokens: int,
    ) -> tuple[Answer, ModelCall]:
        """Ask for a strict `kind` and return it with what it cost."""
        await self._probe.require()
        started = time.perf_counter()
        request: dict[str, Any] = {
            "model": self.model,
            "instructions": instructions,
            "input": [{"role": "user", "content": content}],
            "text": {"format": text_format(kind)},
            "max_output_tokens": max_tokens,
            "store": False,
        }
        with as_ours("Responses API"):
            async with asyncio.timeout(self._timeout_s):
                raw = await self._client.responses.with_raw_response.create(**request)
        envelope = _read(Envelope, raw.content)
        require_complete(envelope)
        usage = envelope.usage
        call = ModelCall(
            purpose=purpose,
            engine=self.name,
            model=envelope.model or self.model,
            request_id=raw.request_id,
            input_tokens=usage.input_tokens if usage else 0,
            output_tokens=usage.output_tokens if usage else 0,
            seconds=_since(started),
        )
        return _read(kind, _said(envelope)), priced(call, self.model, self._prices)

    async def _hear(self, clip: Clip) -> Heard:
        await self._probe.require()
        started = time.perf_counter()
        raw = await self._send_audio(clip)
        spoken = _read(Spoken, raw.content)
        transcript = transcript_of(spoken, clip.medium, model=self.speech_model)
        call = ModelCall(
            purpose="transcribe",
            engine=self.name,
            model=self.speech_model,
            request_id=raw.request_id,
            input_tokens=spoken.usage.input_tokens if spoken.usage else 0,
            output_tokens=spoken.usage.output_tokens if spoken.usage else 0,
            audio_seconds=transcript.duration_ms / 1000,
            seconds=_since(started),
        )
        return Heard(transcript=transcript, calls=(priced(call, self.speech_model, self._prices),))

    async def _pieces(self, clip: Clip) -> list[tuple[int, Clip]]:
        head = {"work": "split", "content_type": clip.medium.content_type}
        answer, body = await self._opened("recording", head, clip.content, _SPLIT_SECONDS)
        pieces, start = [], 0
        for piece in answer["pieces"]:
            medium = clip.medium.model_copy(update={"content_type": "audio/webm", "duration_ms": None})
            pieces.append((piece["offset_ms"], Clip(medium, body[start : start + piece["bytes"]])))
            start += piece["bytes"]
        return pieces

    async def _send_audio(self, clip: Clip) -> Any:
        request: dict[str, Any] = {
            "file": (_FILE_NAMES[clip.medium.content_type], clip.content, clip.medium.content_type),
            "model": self.speech_model,
            "prompt": GLOSSARY,
            "response_format": "json",
        }
        if not self.speech_model.startswith(_WITHOUT_TIMES):
            request |= {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}
        try:
            with as_ours("audio transcriptions"):
                async with asyncio.timeout(self._timeout_s):
                    return await self._client.audio.transcriptions.with_raw_response.create(**request)
        except Misconfigured as error:
            if isinstance(error.__cause__, openai.BadRequestError):
                raise UnusableMedium("The model's provider could not open this recording.") from error
            raise

    async def _jpeg(self, photo: Photo) -> bytes:
        head = {"work": "render", "content_type": photo.medium.content_type, "edge": _PHOTO_EDGE}
        _, jpeg = await self._opened("photo", head, photo.content, _PHOTO_SECONDS)
        return jpeg

    async def _opened(
        self, noun: str, head: dict[str, Any], content: bytes, seconds: float
    ) -> tuple[dict[str, Any], bytes]:
        """Have the helper open a file; what it cannot open is that file's problem."""
        try:
            answer, body = await self._helper.ask(head, content, seconds=seconds)
        except (HelperBroke, HelperTooSlow) as error:
            raise UnusableMedium(f"This {noun} could not be opened; it may be damaged.") from error
        if "problem" in answer:
            raise UnusableMedium(answer["problem"])
        return answer, body


def _said(envelope: Envelope) -> str:
    """Return the text of the answer. Raises `Refused`, and `MalformedAnswer` when there is none."""
    parts = [part for item in envelope.output if item.type == "message" for part in item.content or ()]
    refusal = next((part.refusal for part in parts if part.type == "refusal"), None)
    if refusal is not None:
        raise Refused("The model declined to answer.")
    text = "".join(part.text for part in parts if part.type == "output_text")
    if not text:
        raise MalformedAnswer("The model's answer was empty.")
    return text


def _read(kind: type[Answer], text: str | bytes) -> Answer:
    try:
        answer = kind.model_validate_json(text)
    except ValidationError as error:
        raise MalformedAnswer(f"The model's answer does not fit what was asked ({kind.__name__}).") from error
    # A model may say U+0000, which no text column takes: the draft must not be lost for it.
    return kind.model_validate(storable(answer.model_dump()))


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)

"""The engine behind OpenAI's API, or any other endpoint that speaks it: Responses and audio transcriptions.

One try per call (`max_retries=0`): the queue is the only layer that retries.
"""

from __future__ import annotations

import asyncio
import base64
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import openai

from jobs.kinds.estimate.book.book import EMPTY
from jobs.kinds.estimate.engines import prompts
from jobs.kinds.estimate.engines.base import Clip, every_time, show_nobody
from jobs.kinds.estimate.engines.cost import priced, read_prices
from jobs.kinds.estimate.engines.glossary import GLOSSARY
from jobs.kinds.estimate.engines.model_client import NO_MEMORY, Helper, HelperBroke, HelperKilled, HelperTooSlow
from jobs.kinds.estimate.engines.openai.answers import draft_of, line_of, observations_of, transcript_of
from jobs.kinds.estimate.engines.openai.chat import Chat
from jobs.kinds.estimate.engines.openai.errors import SETTINGS_OF, as_ours
from jobs.kinds.estimate.engines.openai.probe import Probe
from jobs.kinds.estimate.engines.openai.responses import Question, Responses, read
from jobs.kinds.estimate.engines.openai.schema import DraftAnswer, LookAnswer, Spoken
from jobs.kinds.estimate.engines.transcripts import joined
from jobs.kinds.estimate.errors import MalformedAnswer, Misconfigured, UnusableMedium, paid_for
from jobs.kinds.estimate.model import Drafted, Heard, ModelCall, Seen
from store.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from pydantic import SecretStr

    from config.settings import Settings
    from jobs.kinds.estimate.book.book import Book
    from jobs.kinds.estimate.engines.base import Once, Photo, Show
    from jobs.kinds.estimate.engines.cost import ModelPrice
    from jobs.kinds.estimate.engines.openai.schema import AskedLine
    from jobs.kinds.estimate.material import Material
    from jobs.kinds.estimate.model import Observations, Transcript

_UNHEARD = "The speech service could not open this recording. Record it again, or type it as a note."
_CONNECT_SECONDS = 10.0
_PHOTO_EDGE = 2000
_PHOTO_SECONDS = 60.0
_SPLIT_SECONDS = 300.0
_REMUX_SECONDS = 60.0
_LOOK_TOKENS, _DRAFT_TOKENS = 4_000, 16_000
# The provider's own limit for one file.
_AUDIO_BYTES = 25 * 1024 * 1024
_FILE_NAMES = {"audio/webm": "clip.webm", "audio/mp4": "clip.m4a", "audio/mpeg": "clip.mp3"}
# These answer text alone; the others give times.
_WITHOUT_TIMES = ("gpt-4o-transcribe", "gpt-4o-mini-transcribe", "gpt-transcribe")


class Endpoints(NamedTuple):
    """The address of a model; `hearing` is another endpoint for transcription, `api` the protocol of the first one."""

    client: openai.AsyncOpenAI
    hearing: openai.AsyncOpenAI | None = None
    api: Literal["responses", "chat"] = "responses"


class OpenAIEngine:
    """Implements `Engine`."""

    name = "openai"
    audio_bytes = _AUDIO_BYTES

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        model: str,
        speech_model: str,
        timeout_s: float,
        prices: Mapping[str, ModelPrice] | None = None,
    ) -> None:
        self.model = model
        self._prices = prices or {}
        self.speech_model = speech_model
        self._client = client = endpoints.client
        asker = Chat if endpoints.api == "chat" else Responses
        self._responses = asker(client, self.name, model, timeout_s, self._prices)
        self._hearing = endpoints.hearing or client
        self._probe = Probe(client, {"OPENAI_MODEL": model})
        self._hearing_probe = Probe(self._hearing, {"OPENAI_TRANSCRIBE_MODEL": speech_model})
        self._timeout_s = timeout_s
        self._helper = Helper()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Build it from the settings. Raises `Misconfigured` without a key."""
        if settings.openai_api_key is None:
            raise Misconfigured("Set OPENAI_API_KEY, or ESTIMATE_ENGINE=local.")
        key, url = settings.openai_api_key, settings.openai_base_url
        own = settings.openai_transcribe_base_url or settings.openai_transcribe_api_key
        hearing = (settings.openai_transcribe_api_key or key, settings.openai_transcribe_base_url or url)
        return cls(
            Endpoints(_client(settings, key, url), _client(settings, *hearing) if own else None, settings.openai_api),
            model=settings.openai_model,
            speech_model=settings.openai_transcribe_model,
            timeout_s=settings.openai_timeout_seconds,
            prices=read_prices(settings.openai_prices),
        )

    async def aclose(self) -> None:
        """Close connections and the helper that opens photos."""
        await self._helper.aclose()
        await self._client.close()
        await self._hearing.close()

    async def load(self) -> None:
        """Do nothing: the models are at the provider's."""

    async def transcribe(self, clip: Clip, once: Once = every_time) -> Heard:
        """Hear one recording; one that is too large for the provider in pieces, cut where the speaker pauses.

        Only its sound leaves the house: where it was made, by which device and under which title does not.
        """
        if clip.medium.content_type in _FILE_NAMES and len(clip.content) <= self.audio_bytes:
            bare = await self._bare(clip)
            if bare is not None:
                return await self._hear(bare)
        parts, names = [], []
        pieces, lost_ms = await self._pieces(clip)
        for offset_ms, piece in pieces:
            name = f"{offset_ms}+{piece.medium.duration_ms}"
            heard = await once(name, partial(self._hear, piece))
            parts.append((offset_ms, heard.transcript))
            names.append(name)
        whole = joined(parts).model_copy(update={"lost_ms": lost_ms})
        return Heard(transcript=whole, pieces=tuple(names))

    async def look(self, photo: Photo) -> Seen:
        """Look at one photo, sent as an upright JPEG."""
        jpeg = await self._jpeg(photo)
        image = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        content = [
            {"type": "input_text", "text": prompts.look_data(photo.medium)},
            {"type": "input_image", "image_url": image, "detail": "high"},
        ]
        await self._probe.require("OPENAI_MODEL")
        answer, call = await self._responses.ask(Question("look", prompts.LOOK, content, _LOOK_TOKENS), LookAnswer)
        return Seen(observations=observations_of(answer, photo.medium), calls=(call,))

    async def draft(
        self,
        material: Material,
        transcripts: Sequence[Transcript],
        observations: Mapping[UUID, Observations],
        show: Show = show_nobody,
        book: Book = EMPTY,  # noqa: ARG002 - the model knows what work is
    ) -> Drafted:
        """Draft from the words of all sources; the photos were looked at before."""
        names = prompts.names_of(material.media)

        async def ready(line: AskedLine) -> None:
            with suppress(MalformedAnswer):  # a bad line is told when the draft is whole
                await show(line_of(line, names))

        data = prompts.draft_data(material, transcripts, observations)
        content = [{"type": "input_text", "text": data}]
        await self._probe.require("OPENAI_MODEL")
        question = Question("draft", prompts.DRAFT, content, _DRAFT_TOKENS)
        answer, call = await self._responses.stream(question, DraftAnswer, ready)
        with paid_for(call):
            return Drafted(draft=draft_of(answer, material, model=self.model), calls=(call,))

    async def _hear(self, clip: Clip) -> Heard:
        await self._hearing_probe.require("OPENAI_TRANSCRIBE_MODEL")
        started = time.perf_counter()
        raw = await self._send_audio(clip)
        call = ModelCall(
            purpose="transcribe",
            engine=self.name,
            model=self.speech_model,
            request_id=raw.request_id,
            audio_seconds=(clip.medium.duration_ms or 0) / 1000,
            seconds=_since(started),
        )
        with paid_for(self._priced(call)):
            spoken = read(Spoken, raw.content)
        transcript = transcript_of(spoken, clip.medium, model=self.speech_model)
        usage = spoken.usage.model_dump(include={"input_tokens", "output_tokens"}) if spoken.usage else {}
        call = call.model_copy(update=usage | {"audio_seconds": transcript.duration_ms / 1000})
        return Heard(transcript=transcript, calls=(self._priced(call),))

    def _priced(self, call: ModelCall) -> ModelCall:
        return priced(call, self.speech_model, self._prices)

    async def _bare(self, clip: Clip) -> Clip | None:
        """Return the clip without metadata, or None when its sound must be coded anew for that."""
        head = {"work": "remux", "content_type": clip.medium.content_type}
        try:
            _, sound = await self._opened("recording", head, clip.content, _REMUX_SECONDS)
        except UnusableMedium:
            return None
        return clip._replace(content=sound)

    async def _pieces(self, clip: Clip) -> tuple[list[tuple[int, Clip]], int]:
        """Return the recording cut into pieces with their offsets in ms, and how many ms of it are lost."""
        head = {"work": "split", "content_type": clip.medium.content_type}
        answer, body = await self._opened("recording", head, clip.content, _SPLIT_SECONDS)
        pieces, start = [], 0
        for piece in answer["pieces"]:
            cut = {"content_type": "audio/webm", "duration_ms": piece["length_ms"]}
            medium = clip.medium.model_copy(update=cut)
            pieces.append((piece["offset_ms"], Clip(medium, body[start : start + piece["bytes"]])))
            start += piece["bytes"]
        return pieces, answer["lost_ms"]

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
                    return await self._hearing.audio.transcriptions.with_raw_response.create(**request)
        except Misconfigured as error:
            cause = error.__cause__
            if (
                isinstance(cause, openai.BadRequestError)
                and cause.param not in SETTINGS_OF
                and _is_about_the_file(cause)
            ):
                raise UnusableMedium(_UNHEARD) from error
            raise

    async def _jpeg(self, photo: Photo) -> bytes:
        head = {"work": "render", "content_type": photo.medium.content_type, "edge": _PHOTO_EDGE}
        _, jpeg = await self._opened("photo", head, photo.content, _PHOTO_SECONDS)
        return jpeg

    async def _opened(
        self, noun: str, head: dict[str, Any], content: bytes, seconds: float
    ) -> tuple[dict[str, Any], bytes]:
        """Have the helper open a file; one that it cannot open is that file's problem."""
        try:
            answer, body = await self._helper.ask(head, content, seconds=seconds)
        except HelperKilled as error:
            raise Unavailable(NO_MEMORY) from error
        except (HelperBroke, HelperTooSlow) as error:
            raise UnusableMedium(f"This {noun} could not be opened; it may be damaged. Add it again.") from error
        if "problem" in answer:
            raise UnusableMedium(answer["problem"])
        return answer, body


def _client(settings: Settings, key: SecretStr, url: str | None) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key=key.get_secret_value(),
        base_url=url,
        max_retries=0,
        timeout=openai.Timeout(settings.openai_timeout_seconds, connect=_CONNECT_SECONDS),
    )


def _is_about_the_file(error: openai.BadRequestError) -> bool:
    """Whether a refusal is the recording's fault; one that names neither it nor a setting is the setting's."""
    told = f"{error.param} {error.code} {error.message}".lower()
    return any(word in told for word in ("file", "audio", "decode", "corrupt", "duration", "format is not"))


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 3)

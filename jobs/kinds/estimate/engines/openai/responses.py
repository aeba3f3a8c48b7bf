"""One question to the Responses API, answered by a strict schema: at once, or as a stream of lines that are ready."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import jiter
from pydantic import BaseModel, ValidationError

from jobs.kinds.estimate.engines.cost import priced
from jobs.kinds.estimate.engines.openai.errors import as_ours, of_code, require_complete
from jobs.kinds.estimate.engines.openai.schema import AskedLine, Envelope, text_format
from jobs.kinds.estimate.errors import MalformedAnswer, Refused, Transient, paid_for
from jobs.kinds.estimate.model import ModelCall
from store.events.events import storable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence

    import openai

    from jobs.kinds.estimate.engines.cost import ModelPrice

Answer = TypeVar("Answer", bound=BaseModel)

_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class Question(NamedTuple):
    """The request, and how long the answer may be."""

    purpose: Literal["look", "draft"]
    instructions: str
    content: Sequence[Mapping[str, str]]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Responses:
    """The API for one model; each answer comes with its cost."""

    client: openai.AsyncOpenAI
    engine: str
    model: str
    timeout_s: float
    prices: Mapping[str, ModelPrice]

    async def ask(self, question: Question, kind: type[Answer]) -> tuple[Answer, ModelCall]:
        """Ask for a strict `kind`."""
        started = time.perf_counter()
        async with Patience(self.timeout_s).waiting():
            raw = await self.client.responses.with_raw_response.create(**self._request(question, kind))
        envelope = read(Envelope, raw.content)
        return _answered(envelope, kind, self._call(question, envelope, raw.request_id, started))

    async def stream(
        self, question: Question, kind: type[Answer], ready: Callable[[AskedLine], Awaitable[None]]
    ) -> tuple[Answer, ModelCall]:
        """Ask for a `kind` with lines, each handed to `ready` as soon as the next one begins."""
        started = time.perf_counter()
        patience = Patience(self.timeout_s)
        async with patience.waiting():
            stream = await self.client.responses.create(**self._request(question, kind), stream=True)
        async with stream:
            envelope = await _followed(stream, patience, ready)
        request_id = stream.response.headers.get("x-request-id")
        return _answered(envelope, kind, self._call(question, envelope, request_id, started))

    def _request(self, question: Question, kind: type[BaseModel]) -> dict[str, Any]:
        return {
            "model": self.model,
            "instructions": question.instructions,
            "input": [{"role": "user", "content": question.content}],
            "text": {"format": text_format(kind)},
            "max_output_tokens": question.max_tokens,
            "store": False,
        }

    def _call(self, question: Question, envelope: Envelope, request_id: str | None, started: float) -> ModelCall:
        usage = envelope.usage
        call = ModelCall(
            purpose=question.purpose,
            engine=self.engine,
            model=envelope.model or self.model,
            request_id=request_id,
            input_tokens=usage.input_tokens if usage else 0,
            output_tokens=usage.output_tokens if usage else 0,
            seconds=round(time.perf_counter() - started, 3),
        )
        return priced(call, self.model, self.prices)


@dataclass(slots=True)
class Patience:
    """How long the model may still take, all waits for it together. Handling of its words does not count."""

    left_s: float

    @asynccontextmanager
    async def waiting(self, capability: str = "Responses API") -> AsyncIterator[None]:
        """Wait for the model. Raises `EngineError`s for its provider's faults, and when the patience is at its end."""
        since = time.monotonic()
        with as_ours(capability):
            async with asyncio.timeout(self.left_s):
                yield
        self.left_s -= time.monotonic() - since


class ReadyLines:
    """The lines of an answer that is still being written. No I/O: text in, whole lines out."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._given = 0

    def add(self, written: str) -> list[AskedLine]:
        """Take the text written since and return the lines that are whole by it, each once.

        Raises `MalformedAnswer`. A line counts as whole when something else has begun behind it.
        """
        # Half a surrogate pair may end a delta: what is only shown may lose it, the end of the stream has it whole.
        self._text += written.encode(errors="replace")
        if "{" not in written and "]" not in written:  # nothing can have begun or ended: spare the parsing
            return []
        try:
            answer = jiter.from_json(bytes(self._text), partial_mode=True)
        except ValueError as error:
            raise MalformedAnswer("The model's answer is not JSON.") from error
        lines = answer.get("lines") if isinstance(answer, dict) else None
        whole = lines[self._given : -1] if isinstance(lines, list) else []
        self._given += len(whole)
        return [_fitting(AskedLine, line) for line in whole]


def read(kind: type[Answer], text: str | bytes) -> Answer:
    """Read an answer. Raises `MalformedAnswer` for one that is not a `kind`."""
    try:
        answer = kind.model_validate_json(text)
    except ValidationError as error:
        raise _misfit(kind) from error
    # A model may say U+0000, which no text column takes: the draft must not be lost for it.
    return kind.model_validate(storable(answer.model_dump()))


async def _followed(
    stream: openai.AsyncStream[Any], patience: Patience, ready: Callable[[AskedLine], Awaitable[None]]
) -> Envelope:
    """Follow a stream to its end, which holds the whole response."""
    if not stream.response.headers.get("content-type", "").startswith("text/event-stream"):
        async with patience.waiting():  # an endpoint that does not stream answers at once
            return read(Envelope, await stream.response.aread())
    lines = ReadyLines()
    async with aclosing(_events(stream, patience)) as events:
        async for event in events:
            if event["type"] == "response.output_text.delta":
                for line in lines.add(str(event.get("delta", ""))):
                    await ready(line)
            elif event["type"] in _ENDS:
                return _fitting(Envelope, event.get("response"))
            elif event["type"] == "error":
                raise of_code(event.get("code"))
    raise Transient("The model's answer broke off.")


async def _events(stream: openai.AsyncStream[Any], patience: Patience) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the events as plain values; the SDK does not check an endpoint's fields."""
    events = aiter(stream)
    while True:
        try:
            async with patience.waiting():
                event = await anext(events)
            plain: dict[str, Any] = {"type": "", **event.to_dict(warnings=False)}
        except StopAsyncIteration:
            return
        except (ValueError, AttributeError) as error:  # not JSON, or JSON that is no object
            raise MalformedAnswer("The model's answer is not one of the Responses API.") from error
        yield plain


def _answered(envelope: Envelope, kind: type[Answer], call: ModelCall) -> tuple[Answer, ModelCall]:
    """Return the answer with its call."""
    with paid_for(call):
        require_complete(envelope)
        return read(kind, _said(envelope)), call


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


def _fitting(kind: type[Answer], value: Any) -> Answer:
    try:
        return kind.model_validate(storable(value))
    except ValidationError as error:
        raise _misfit(kind) from error


def _misfit(kind: type[BaseModel]) -> MalformedAnswer:
    return MalformedAnswer(f"The model's answer does not fit what was asked ({kind.__name__}).")

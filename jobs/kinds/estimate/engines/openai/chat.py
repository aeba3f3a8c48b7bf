"""One question to chat/completions, answered by a JSON schema: for endpoints without a whole Responses API."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from jobs.kinds.estimate.engines.cost import priced
from jobs.kinds.estimate.engines.openai.responses import Patience, Responses, read
from jobs.kinds.estimate.engines.openai.schema import Completion, text_format
from jobs.kinds.estimate.errors import MalformedAnswer, Refused, paid_for
from jobs.kinds.estimate.model import ModelCall

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from jobs.kinds.estimate.engines.openai.responses import Question
    from jobs.kinds.estimate.engines.openai.schema import AskedLine

Answer = TypeVar("Answer", bound=BaseModel)


class Chat(Responses):
    """The same questions by the older API; its lines come all at once."""

    async def ask(self, question: Question, kind: type[Answer]) -> tuple[Answer, ModelCall]:
        """Ask for a strict `kind`."""
        started = time.perf_counter()
        async with Patience(self.timeout_s).waiting("chat/completions API"):
            raw = await self.client.chat.completions.with_raw_response.create(**self._chat_request(question, kind))
        completion = read(Completion, raw.content)
        call = ModelCall(
            purpose=question.purpose,
            engine=self.engine,
            model=completion.model or self.model,
            request_id=raw.request_id,
            input_tokens=completion.usage.prompt_tokens if completion.usage else 0,
            output_tokens=completion.usage.completion_tokens if completion.usage else 0,
            seconds=round(time.perf_counter() - started, 3),
        )
        call = priced(call, self.model, self.prices)
        with paid_for(call):
            return read(kind, _said(completion)), call

    async def stream(
        self, question: Question, kind: type[Answer], ready: Callable[[AskedLine], Awaitable[None]]
    ) -> tuple[Answer, ModelCall]:
        """Ask for a `kind`; nothing is ready before the whole answer."""
        del ready
        return await self.ask(question, kind)

    def _chat_request(self, question: Question, kind: type[BaseModel]) -> dict[str, Any]:
        form = {name: value for name, value in text_format(kind).items() if name != "type"}
        return {
            "model": self.model,
            "messages": [
                {"role": "system", "content": question.instructions},
                {"role": "user", "content": [_part(part) for part in question.content]},
            ],
            "response_format": {"type": "json_schema", "json_schema": form},
            "max_completion_tokens": question.max_tokens,
        }


def _part(part: Any) -> dict[str, Any]:
    """Write a part of a question as this API has it."""
    if part["type"] == "input_image":
        return {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part["detail"]}}
    return {"type": "text", "text": part["text"]}


def _said(completion: Completion) -> str:
    """Return the text of the answer. Raises `Refused`, and `MalformedAnswer` for one that is cut off or empty."""
    choice = completion.choices[0] if completion.choices else None
    if choice is None or (not choice.message.content and not choice.message.refusal):
        raise MalformedAnswer("The model's answer was empty.")
    if choice.message.refusal or choice.finish_reason == "content_filter":
        raise Refused("The model declined to answer.")
    if choice.finish_reason == "length":
        raise MalformedAnswer("The model's answer was cut off before its end.")
    return choice.message.content or ""

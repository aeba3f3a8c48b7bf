"""The request to a model, as a strict JSON schema, and the envelope its answer comes in.

No price and no total has a place in it. Media have short names ("photo-1"), which a model can copy without error.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Asked(BaseModel):
    """Every field required and no other allowed: the demands of strict mode."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AskedRegion(_Asked):
    """Shares of width and height from the top left."""

    x: float
    y: float
    w: float
    h: float


class AskedSight(_Asked):
    """One thing in a photo."""

    what: str
    region: AskedRegion | None
    confidence: float


class LookAnswer(_Asked):
    """The content of one photo."""

    sights: list[AskedSight]
    text_read: list[str]


class AskedEvidence(_Asked):
    """`medium` is a short name, null for the notes."""

    source: Literal["photo", "audio", "notes", "label"]
    medium: str | None
    quote: str | None
    start_ms: int | None
    end_ms: int | None
    region: AskedRegion | None


class AskedLine(_Asked):
    """One line of work; `quantity` is null where nobody said one."""

    description: str
    category: str
    quantity: float | None
    unit: str
    evidence: list[AskedEvidence]
    assumptions: list[str]
    confidence: float
    needs_review: bool
    review_reasons: list[str]


class DraftAnswer(_Asked):
    """The lines, a sentence about them, and the parts that could not be covered."""

    lines: list[AskedLine]
    summary: str
    coverage: list[str]


def text_format(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the `text.format` of a request for an answer of a `kind`."""
    return {
        "type": "json_schema",
        "name": kind.__name__,
        "strict": True,
        "schema": kind.model_json_schema(),
    }


class _Received(BaseModel):
    """Only the used fields are read; a provider may add any others."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Content(_Received):
    """A part of a message."""

    type: str
    text: str = ""
    refusal: str = ""


class Item(_Received):
    """A message, or something else (reasoning) that has no content for us."""

    type: str
    content: list[Content] | None = None


class Usage(_Received):
    """Tokens paid for."""

    input_tokens: int = 0
    output_tokens: int = 0


class Problem(_Received):
    """Why a response failed."""

    code: str | None = None


class Incomplete(_Received):
    """Why a response ended early."""

    reason: str | None = None


class Envelope(_Received):
    """A response object of the Responses API."""

    status: str = "completed"
    model: str = ""
    output: list[Item] = Field(default_factory=list)
    usage: Usage | None = None
    error: Problem | None = None
    incomplete_details: Incomplete | None = None


class Message(_Received):
    """A chat model's answer."""

    content: str | None = None
    refusal: str | None = None


class ChatChoice(_Received):
    """One answer of a chat model."""

    message: Message
    finish_reason: str | None = None


class ChatUsage(_Received):
    """Tokens paid for, as chat/completions counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Completion(_Received):
    """A response object of chat/completions."""

    model: str = ""
    choices: list[ChatChoice] = Field(default_factory=list)
    usage: ChatUsage | None = None


class SpokenWord(_Received):
    """A word with seconds."""

    word: str
    start: float
    end: float


class SpokenSegment(_Received):
    """A stretch of speech with seconds."""

    text: str
    start: float
    end: float


class Spoken(_Received):
    """A transcription; models that give no times answer only `text`."""

    text: str
    language: str | None = None
    duration: float | None = None
    words: list[SpokenWord] | None = None
    segments: list[SpokenSegment] | None = None
    usage: Usage | None = None

"""The values an estimate is made of. All are frozen and cross JSON (checkpoints, events, rows) unchanged."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

Share = Annotated[float, Field(ge=0, le=1)]
Millis = Annotated[int, Field(ge=0)]
# A job that began before pieces had names kept them by their offset.
PieceName = Annotated[str, Field(coerce_numbers_to_str=True)]
Source = Literal["photo", "audio", "notes", "label"]


class Value(BaseModel):
    """A frozen value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def as_json(self) -> dict[str, Any]:
        """Plain JSON: UUIDs and Decimals as strings."""
        return self.model_dump(mode="json")


class Region(Value):
    """A rectangle in a photo, in shares of its width and height, from the top left; always approximate."""

    x: Share
    y: Share
    w: Share
    h: Share


class Evidence(Value):
    """Why a line is there: words typed or spoken, or a place in a photo. Times are ms from the start."""

    source: Source
    media_id: UUID | None = None
    quote: str | None = None
    start_ms: Millis | None = None
    end_ms: Millis | None = None
    region: Region | None = None


class DraftLine(Value):
    """One line of work. `quantity` is in `unit` (a canonical unit of `store.estimates.units`).

    `price_said` is a price for one unit that somebody on site named; all other prices come from the price book.
    `named` is what the price book is searched for, where that is not the description.
    """

    description: str = Field(min_length=1, max_length=500)
    named: str = Field(default="", max_length=500)
    category: str = "general"
    quantity: Decimal = Field(gt=0, max_digits=12, decimal_places=3)
    unit: str
    price_said: Decimal | None = Field(default=None, ge=0, max_digits=12, decimal_places=2)
    evidence: tuple[Evidence, ...] = ()
    assumptions: tuple[str, ...] = ()
    confidence: Share = 0.5
    needs_review: bool = False
    review_reasons: tuple[str, ...] = ()

    def flagged(self, *reasons: str) -> DraftLine:
        """Return the line with `reasons` added and `needs_review` set; the same line for no reasons."""
        new = tuple(reason for reason in reasons if reason not in self.review_reasons)
        if not new:
            return self
        return self.model_copy(update={"needs_review": True, "review_reasons": self.review_reasons + new})


class Choice(Value):
    """An item of the price book that may be meant."""

    price_item_id: UUID
    name: str
    unit: str
    unit_price: Decimal


class Match(Value):
    """How a line met the price book; scores are 0..1. `choices` are offered where no item is clearly the one."""

    name: str
    score: float
    runner_up: str | None = None
    runner_up_score: float | None = None
    choices: tuple[Choice, ...] = ()


class PricedLine(DraftLine):
    """A line with the tenant's price, or honestly without: then price and amount are None, never 0."""

    price_item_id: UUID | None = None
    unit_price: Decimal | None = None
    amount: Decimal | None = None
    match: Match | None = None


class Totals(Value):
    """Money of the priced lines; `unpriced_count` says how many lines are missing from it."""

    subtotal: Decimal
    tax_rate: Decimal
    tax: Decimal
    total: Decimal
    unpriced_count: int


class Segment(Value):
    """A stretch of speech."""

    start_ms: Millis
    end_ms: Millis
    text: str


class Word(Value):
    """A spoken word; `probability` is the engine's own, 1.0 where it gives none."""

    start_ms: Millis
    end_ms: Millis
    word: str
    probability: Share = 1.0


class Transcript(Value):
    """The transcript of one recording. `heard` is False when there was no speech: that is not success."""

    media_id: UUID
    text: str
    language: str | None
    duration_ms: Millis
    segments: tuple[Segment, ...] = ()
    words: tuple[Word, ...] = ()
    engine: str
    model: str
    lost_ms: Millis = 0

    @property
    def heard(self) -> bool:
        """Whether any speech was found."""
        return bool(self.text.strip())


class Sight(Value):
    """One thing seen in a photo."""

    what: str
    region: Region | None = None
    confidence: Share = 0.5


class Print(Value):
    """A row of print in a photo; where it stands is always approximate, and not every engine says."""

    text: str
    region: Region | None = None
    confidence: Share = 1.0


class Observations(Value):
    """The findings in one photo. `analysed` is False when the engine only reads; `note` says why it could not even."""

    media_id: UUID
    analysed: bool
    sights: tuple[Sight, ...] = ()
    text_read: tuple[Print, ...] = ()
    note: str | None = None

    @field_validator("text_read", mode="before")
    @classmethod
    def _as_prints(cls, read: Any) -> Any:
        """Take bare words, too: a job that began before rows had a place kept them so."""
        return [{"text": one} if isinstance(one, str) else one for one in read]


class ModelCall(Value):
    """One paid (or at least counted) model call."""

    purpose: Literal["transcribe", "look", "draft"]
    engine: str
    model: str
    request_id: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    audio_seconds: float = 0
    seconds: float = 0
    cost: Decimal | None = None


class Draft(Value):
    """The lines an engine proposes, and the parts it reports as not covered."""

    lines: tuple[DraftLine, ...]
    summary: str
    engine: str
    model: str
    notes_on_coverage: tuple[str, ...] = ()


class Heard(Value):
    """A transcript and the calls that made it.

    `pieces` are the names of the pieces it was heard in, where those are kept with their calls one by one.
    """

    transcript: Transcript
    calls: tuple[ModelCall, ...] = ()
    pieces: tuple[PieceName, ...] = ()


class Seen(Value):
    """Observations and the calls that made them."""

    observations: Observations
    calls: tuple[ModelCall, ...] = ()


class Drafted(Value):
    """A draft and the calls that made it."""

    draft: Draft
    calls: tuple[ModelCall, ...] = ()

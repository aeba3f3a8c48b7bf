"""The engine protocol: hear a recording, look at a photo, draft the lines. Engines never see a price."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from jobs.kinds.estimate.book.book import EMPTY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from jobs.kinds.estimate.book.book import Book
    from jobs.kinds.estimate.material import Material, Medium
    from jobs.kinds.estimate.model import Drafted, DraftLine, Heard, Observations, Seen, Transcript

# Hears the piece of this name, unless it was heard before. The name tells pieces apart that are cut in another way.
Once: TypeAlias = Callable[[str, Callable[[], Awaitable["Heard"]]], Awaitable["Heard"]]
# Shows a line before the draft is whole.
Show: TypeAlias = Callable[["DraftLine"], Awaitable[None]]


class Clip(NamedTuple):
    """A recording with its bytes."""

    medium: Medium
    content: bytes


class Photo(NamedTuple):
    """A photo with its bytes."""

    medium: Medium
    content: bytes


async def every_time(_piece: str, hear: Callable[[], Awaitable[Heard]]) -> Heard:
    """Hear a piece, independent of earlier ones."""
    return await hear()


async def show_nobody(_line: DraftLine) -> None:
    """Draft unseen."""


class Engine(Protocol):
    """Raises `EngineError` for the engine's own faults and `UnusableMedium` for a file it cannot read.

    Each result carries the `ModelCall`s that made it. `aclose` frees the engine's resources, also twice.
    """

    @property
    def name(self) -> str:
        """`local` or `openai`; stored with every estimate."""

    @property
    def model(self) -> str:
        """The model that drafts; stored with every estimate."""

    @property
    def speech_model(self) -> str:
        """The model that transcribes; a transcript by the same engine and model is not made twice."""

    async def load(self) -> None:
        """Get ready for the first call, where that takes long. Raises nothing: a fault shows at the first call."""

    async def transcribe(self, clip: Clip, once: Once = every_time) -> Heard:
        """Turn speech into words with times. No speech gives an empty transcript (`heard` is False).

        An engine that hears a recording piece by piece hears each by `once`, which knows the pieces already heard.
        """

    async def look(self, photo: Photo) -> Seen:
        """Describe a photo, or at least read the text printed there; `analysed` tells which."""

    async def draft(
        self,
        material: Material,
        transcripts: Sequence[Transcript],
        observations: Mapping[UUID, Observations],
        show: Show = show_nobody,
        book: Book = EMPTY,
    ) -> Drafted:
        """Propose lines with evidence. An empty list is an answer; the pipeline decides its meaning.

        `book` is the company's price book without its prices: it tells work and things apart.

        An engine that produces lines one by one may `show` them, in their order, before it has the last one.
        """

    async def aclose(self) -> None:
        """Free processes and connections."""

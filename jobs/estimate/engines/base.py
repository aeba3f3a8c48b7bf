"""The engine protocol: hear a recording, look at a photo, draft the lines. Engines never see a price."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from jobs.estimate.material import Material, Medium
    from jobs.estimate.model import Drafted, Heard, Observations, Seen, Transcript


class Clip(NamedTuple):
    """A recording with its bytes."""

    medium: Medium
    content: bytes


class Photo(NamedTuple):
    """A photo with its bytes."""

    medium: Medium
    content: bytes


class Engine(Protocol):
    """Raises `EngineError` for the engine's own faults and `UnusableMedium` for a file it cannot read.

    Each result carries the `ModelCall`s that made it. `aclose` frees what the engine holds, also twice.
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

    async def transcribe(self, clip: Clip) -> Heard:
        """Turn speech into words with times. No speech gives an empty transcript (`heard` is False)."""

    async def look(self, photo: Photo) -> Seen:
        """Say what is in a photo, or at least what is printed there; `analysed` tells which."""

    async def draft(
        self,
        material: Material,
        transcripts: Sequence[Transcript],
        observations: Mapping[UUID, Observations],
    ) -> Drafted:
        """Propose lines with evidence. No lines is an answer; the pipeline decides what it means."""

    async def aclose(self) -> None:
        """Free processes and connections."""

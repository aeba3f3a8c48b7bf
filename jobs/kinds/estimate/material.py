"""The material of a visit: its notes and its media, with a way to fetch the bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from uuid import UUID  # noqa: TC003 - pydantic reads it at run time.

from jobs.kinds.estimate.model import Value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Medium(Value):
    """One photo or recording as stored. `sha256` is hex; `duration_ms` was measured or declared, if known.

    `problem` says why it cannot be used; its label still counts. `note` says what is wrong with one that can be used.
    """

    media_id: UUID
    kind: Literal["photo", "audio"]
    content_type: str
    storage_path: str
    label: str | None = None
    sequence: int | None = None
    sha256: str | None = None
    duration_ms: int | None = None
    problem: str | None = None
    note: str | None = None


class Material(Value):
    """Everything the estimate may rest on."""

    visit_id: UUID
    title: str = ""
    address: str = ""
    notes: str = ""
    media: tuple[Medium, ...] = ()

    @property
    def photos(self) -> tuple[Medium, ...]:
        """The photos, in sequence."""
        return tuple(medium for medium in self.media if medium.kind == "photo")

    @property
    def recordings(self) -> tuple[Medium, ...]:
        """The recordings, in sequence."""
        return tuple(medium for medium in self.media if medium.kind == "audio")


if TYPE_CHECKING:
    FetchBytes = Callable[[Medium], Awaitable[bytes]]

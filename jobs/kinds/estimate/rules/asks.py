"""What a sentence asks for: work, a correction of what was said before, or its withdrawal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from jobs.kinds.estimate.rules.quantities import Quantity

Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for work. Spans are character offsets into the source; `what` is its own words for the thing.

    `same_thing` marks "it" and "them": the thing was named before. `negated` means "do not". `mentioned` asks for
    nothing: "there are three broken outlets" only names what a later "replace them" means.
    """

    verb: str
    what: str
    words: tuple[str, ...]
    place: str
    quantity: Quantity | None
    spans: tuple[Span, ...]
    counted: Span | None = None
    negated: bool = False
    same_thing: bool = False
    mentioned: bool = False
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Correction:
    """A new amount for the item before ("no, make that four"), and perhaps a new thing ("four doors").

    `fills` marks an amount that only completes one not stated yet ("Install gutters. Forty feet.").
    """

    quantity: Quantity
    what: str
    words: tuple[str, ...]
    span: Span
    fills: bool = False


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The item before is gone ("scratch that")."""

    span: Span


@dataclass(frozen=True, slots=True)
class Lost:
    """A request whose thing could not be made out; what follows must not be taken to mean an earlier item."""

    span: Span


Saying: TypeAlias = Ask | Correction | Withdrawal | Lost

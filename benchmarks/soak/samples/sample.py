"""What everything held at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

# Who holds, and what.
Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Sample:
    """`mib`, without what windows keep of events, and `blocks` by who holds them; `held` is what can be counted."""

    at: float
    mib: Mapping[str, float] = field(default_factory=dict)
    blocks: Mapping[str, float] = field(default_factory=dict)
    held: Mapping[Key, int] = field(default_factory=dict)

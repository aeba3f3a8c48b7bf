"""The price book as a drafted line meets it: the items that resemble its words and are sold by its unit."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from store.pool import Connection
from store.queries import Queries

SQL = Queries("estimates/price_items")

_MOST = 20


@dataclass(frozen=True)
class Wanted:
    """What is looked for: a phrase, and the spellings of the units that may carry the price, in lower case."""

    phrase: str
    units: Sequence[str]


@dataclass(frozen=True)
class Candidate:
    """An item that resembles the phrase; both similarities are pg_trgm's, 0..1."""

    id: UUID
    description: str
    category: str
    unit: str
    unit_price: Decimal
    covers: float
    contained: float


async def candidates(
    conn: Connection, tenant_id: UUID, wanted: Sequence[Wanted], *, covers: float
) -> list[list[Candidate]]:
    """Return for each wanted phrase the items that cover at least so much of it, best first; one round trip for all."""
    keys = list(range(len(wanted)))
    units = [(unit, key) for key, one in enumerate(wanted) for unit in one.units]
    rows = await conn.fetch(
        SQL.match_candidates,
        tenant_id,
        keys,
        [one.phrase for one in wanted],
        [unit for unit, _ in units],
        [key for _, key in units],
        covers,
        _MOST,
    )
    found: dict[int, list[Candidate]] = defaultdict(list)
    for row in rows:
        key, *values = row.values()
        found[key].append(Candidate(*values))
    return [found[key] for key in keys]

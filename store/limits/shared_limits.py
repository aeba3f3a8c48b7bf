"""Shared limits: token buckets in the database, the same for every gateway and after every restart.

A limit has a name and a bucket for each key: an address, a mailbox, a link. Invariants:

1. `spend` takes its tries from every bucket that it names, or from none of them.
2. A bucket that the database said is empty is refused from memory until its time has come, so that a flood costs no
   queries. This memory is bounded; forgetting an entry costs one query and forgives nothing.
3. Without the database nothing is allowed: `spend` raises.

Limits that only spread load are cheaper in `gateway.http.limits.rate_limiter`, which counts in one process.
"""

import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from store.errors import RatePolicy, TooMany
from store.pool import Connection, Database
from store.queries import Queries

SQL = Queries("limits/shared_limits")

DETAIL = "Too many tries. Wait a moment and try again."
KEYS_REMEMBERED = 10_000


@dataclass(frozen=True)
class Limit:
    """A kind of bucket: `burst` tries at once, and `per_second` more as time passes."""

    name: str
    burst: float
    per_second: float

    @property
    def policy(self) -> RatePolicy:
        """The same as clients are told of it."""
        return RatePolicy(self.name, int(self.burst), round(self.burst / self.per_second))


@dataclass(frozen=True)
class Bucket:
    """One bucket of a limit; `key` says whose it is, and is stored only as a hash."""

    limit: Limit
    key: str


class SharedLimits:
    """Spends from buckets in the database, and remembers which of them are empty."""

    def __init__(self, db: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._clock = clock
        self._empty_until: OrderedDict[Bucket, float] = OrderedDict()

    def check(self, *buckets: Bucket, detail: str = DETAIL) -> None:
        """Raise `TooMany` when this process knows one of the buckets to be empty; asks nobody and spends nothing."""
        now = self._clock()
        _require_room({bucket: self._empty_until.get(bucket, now) - now for bucket in buckets}, detail)

    async def spend(self, *buckets: Bucket, tries: float = 1, detail: str = DETAIL) -> None:
        """Take `tries` from each bucket, in a short transaction of its own.

        Raises `TooMany` with the seconds until all of them have as many, and takes nothing then. Raises an error of
        `store.pool.AWAY` without the database.
        """
        self.check(*buckets, detail=detail)
        async with self._db.as_system() as conn:
            rows = await conn.fetch(
                SQL.spend_tries,
                [bucket.limit.name for bucket in buckets],
                [bucket.key.encode(errors="surrogatepass") for bucket in buckets],
                [bucket.limit.burst for bucket in buckets],
                [bucket.limit.per_second for bucket in buckets],
                tries,
            )
        waits = {buckets[row["number"] - 1]: float(row["wait"]) for row in rows}
        for bucket, wait in waits.items():
            self._remember(bucket, wait)
        _require_room(waits, detail)

    def _remember(self, bucket: Bucket, wait: float) -> None:
        if wait <= 0:
            self._empty_until.pop(bucket, None)
            return
        self._empty_until[bucket] = self._clock() + wait
        self._empty_until.move_to_end(bucket)
        if len(self._empty_until) > KEYS_REMEMBERED:
            self._empty_until.popitem(last=False)


def _require_room(waits: Mapping[Bucket, float], detail: str) -> None:
    """Raise `TooMany` for the bucket that is empty longest."""
    bucket = max(waits, key=waits.__getitem__, default=None)
    if bucket is not None and waits[bucket] > 0:
        raise TooMany(detail, retry_after=waits[bucket], policy=bucket.limit.policy)


async def forget_full_buckets(conn: Connection) -> None:
    """Forget buckets that are full again; for the worker's clock."""
    await conn.execute(SQL.forget_full_buckets)


def mailbox_key(address: str) -> str:
    """Return what limits count a mailbox by: lower case, composed, and without a `+tag`, of which it has any number.

    Takes any text, also what is no address.
    """
    text = unicodedata.normalize("NFKC", address.strip()).casefold()
    local, at, domain = text.rpartition("@")
    return f"{local.split('+', 1)[0]}{at}{domain}" if at else text


def per_hour(tries: float) -> float:
    """Return a rate per second."""
    return tries / 3600

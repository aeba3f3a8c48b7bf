"""Limits in the database: what one gateway spends, every other one lacks."""

import asyncio
from typing import Any

import pytest

from store.errors import TooMany
from store.limits.shared_limits import KEYS_REMEMBERED, Bucket, Limit, SharedLimits, forget_full_buckets, mailbox_key
from store.pool import DRIVER_TROUBLE, Database

SLOW = Limit("test_slow", burst=3, per_second=0.001)


@pytest.fixture(autouse=True)
async def empty(admin: Any) -> None:
    """Begin without buckets."""
    await admin.execute("DELETE FROM scopekit.limit_buckets")


async def _spent(limits: SharedLimits, *buckets: Bucket) -> bool:
    try:
        await limits.spend(*buckets)
    except TooMany:
        return False
    return True


async def test_twenty_tries_at_once_by_two_gateways_are_three(db: Database) -> None:
    """The burst is shared, whoever asks and however many at the same time."""
    gateways = [SharedLimits(db), SharedLimits(db)]
    bucket = Bucket(SLOW, "192.0.2.1")
    spent = await asyncio.gather(*(_spent(gateways[number % 2], bucket) for number in range(20)))
    assert sum(spent) == 3


async def test_a_bucket_outlasts_the_process(db: Database) -> None:
    """A new process knows nothing and refuses all the same, with the seconds to wait."""
    bucket = Bucket(SLOW, "192.0.2.1")
    for _ in range(3):
        await SharedLimits(db).spend(bucket)
    with pytest.raises(TooMany) as refused:
        await SharedLimits(db).spend(bucket)
    assert 900 < float(refused.value.retry_after or 0) <= 1000


async def test_a_bucket_fills_with_time(db: Database, admin: Any) -> None:
    """After one try's time there is one try, and no more."""
    bucket = Bucket(SLOW, "192.0.2.1")
    for _ in range(3):
        await SharedLimits(db).spend(bucket)
    await admin.execute("UPDATE scopekit.limit_buckets SET full_at = full_at - interval '1000 seconds'")
    assert [await _spent(SharedLimits(db), bucket) for _ in range(2)] == [True, False]


async def test_all_buckets_are_spent_or_none(db: Database) -> None:
    """An empty bucket for the address leaves the mailbox's as it was."""
    limits = SharedLimits(db)
    address, mailbox = Bucket(SLOW, "192.0.2.1"), Bucket(Limit("test_mailbox", 1, 0.001), "jane@example.test")
    for _ in range(3):
        await limits.spend(address)
    assert not await _spent(SharedLimits(db), address, mailbox)
    assert await _spent(limits, mailbox)


async def test_calls_with_the_same_buckets_in_any_order_do_not_deadlock(db: Database) -> None:
    """Rows are taken in one order."""
    wide = [Bucket(Limit(f"test_{name}", 1000, 1), "x") for name in "abc"]
    orders = [wide, wide[::-1], [wide[1], wide[0], wide[2]]]
    spent = await asyncio.gather(*(_spent(SharedLimits(db), *orders[number % 3]) for number in range(30)))
    assert all(spent)


async def test_an_empty_bucket_is_refused_without_a_question(db: Database) -> None:
    """Memory answers until the time has come, then the database is asked again."""
    now = [0.0]
    limits = SharedLimits(db, clock=lambda: now[0])
    bucket = Bucket(SLOW, "192.0.2.1")
    for _ in range(3):
        await limits.spend(bucket)
    assert not await _spent(limits, bucket)
    await db.close()
    with pytest.raises(TooMany):
        limits.check(bucket)
    assert not await _spent(limits, bucket)
    now[0] = 2000.0
    limits.check(bucket)
    with pytest.raises(DRIVER_TROUBLE):  # closed: nothing is allowed
        await limits.spend(bucket)


async def test_a_key_is_no_text_in_the_database(db: Database, admin: Any) -> None:
    """A slot is kept and not the address; any text may be a key, also half a surrogate pair."""
    await SharedLimits(db).spend(Bucket(SLOW, "jane@example.test"), Bucket(Limit("odd", 1, 1), "\ud800\x00"))
    rows = await admin.fetch("SELECT b::text AS row FROM scopekit.limit_buckets b")
    assert len(rows) == 2
    assert "jane" not in str(rows)


async def test_full_buckets_are_forgotten(db: Database, service: Database, admin: Any) -> None:
    """A full bucket is the same as none; one that is not full stays."""
    await SharedLimits(db).spend(Bucket(SLOW, "a"), Bucket(Limit("test_quick", 5, 100), "a"))
    await admin.execute(
        "UPDATE scopekit.limit_buckets SET full_at = full_at - interval '2 min' WHERE name = 'test_quick'"
    )
    async with service.as_system() as conn:
        await forget_full_buckets(conn)
    assert [row["name"] for row in await admin.fetch("SELECT name FROM scopekit.limit_buckets")] == ["test_slow"]


def test_memory_is_bounded() -> None:
    """Of the buckets that are empty only so many are remembered."""
    limits = SharedLimits(None)  # type: ignore[arg-type]
    for number in range(KEYS_REMEMBERED + 5):
        limits._remember(Bucket(SLOW, str(number)), 60)
    assert len(limits._empty_until) == KEYS_REMEMBERED


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        (" Jane@Example.TEST ", "jane@example.test"),
        ("jane+offers@example.test", "jane@example.test"),
        ("\uff4aane@example.test", "jane@example.test"),
        ('"a@b"@example.test', '"a@b"@example.test'),
        ("no address", "no address"),
    ],
)
def test_a_mailbox_has_one_key(typed: str, key: str) -> None:
    """However it is written, and whatever tag it bears."""
    assert mailbox_key(typed) == key

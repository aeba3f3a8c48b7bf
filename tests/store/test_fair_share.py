"""No tenant can hold what the others need: slots, their queue, and what becomes of them when somebody leaves."""

import asyncio
from collections import Counter
from random import Random

import pytest

from store.errors import SpineError, TooMany, Unavailable
from store.fair_share import FairShare

PATIENT = 30.0


class Holder:
    """A tenant's task that holds a slot until it is told to go."""

    def __init__(self, share: FairShare, tenant: str) -> None:
        self.tenant = tenant
        self.has = asyncio.Event()
        self._go = asyncio.Event()
        self.task = asyncio.create_task(self._hold(share))

    async def _hold(self, share: FairShare) -> None:
        async with share.slot(self.tenant):
            self.has.set()
            await self._go.wait()

    async def leave(self) -> None:
        """Give the slot back."""
        self._go.set()
        await self.task


async def _turn() -> None:
    """Let every task go as far as it can: a slot takes a few turns of the loop."""
    for _ in range(10):
        await asyncio.sleep(0)


async def _hold(share: FairShare, tenant: str, count: int) -> list[Holder]:
    holders = [Holder(share, tenant) for _ in range(count)]
    await _turn()
    return holders


def _held(*holders: list[Holder]) -> list[int]:
    return [sum(holder.has.is_set() and not holder.task.done() for holder in some) for some in holders]


async def _end(*holders: list[Holder]) -> None:
    tasks = [holder.task for some in holders for holder in some]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(("slots", "most"), [(1, 1), (2, 1), (3, 2), (4, 2), (8, 4), (10, 5)])
async def test_alone_a_tenant_gets_half(slots: int, most: int) -> None:
    """Rounded up; the rest is for whoever comes next."""
    share = FairShare(slots, places=100, seconds=PATIENT)
    busy = await _hold(share, "busy", 20)
    assert _held(busy) == [most]
    await _end(busy)


async def test_newcomer_gets_a_slot_beside_busy_tenants() -> None:
    """However many slots the others ask for, and without a wait."""
    share = FairShare(8, places=1000, seconds=PATIENT)
    busy = [await _hold(share, f"busy-{number}", 20) for number in range(3)]
    newcomer = await _hold(share, "quiet", 1)
    assert _held(newcomer) == [1]
    await _end(*busy, newcomer)


async def test_freed_slot_goes_to_the_tenant_that_holds_fewest() -> None:
    """And among equals to the one that waits longest, in turn."""
    share = FairShare(2, places=100, seconds=PATIENT)
    first, second = await _hold(share, "a", 2), await _hold(share, "b", 3)
    third = await _hold(share, "c", 1)
    assert _held(first, second, third) == [1, 1, 0]
    for holder, held in ((second[0], [1, 1, 0]), (second[1], [1, 0, 1]), (third[0], [1, 1, 0])):
        await holder.leave()
        await _turn()
        assert _held(first, second, third) == held
    await _end(first, second, third)


async def test_queue_is_bounded_and_leaves_places_to_others() -> None:
    """A tenant that fills its half of the queue gets 429; another still gets a place, and a slot."""
    share = FairShare(2, places=8, seconds=PATIENT)
    busy = await _hold(share, "busy", 30)
    refused = [holder.task.exception() for holder in busy if holder.task.done()]
    assert len(refused) == 30 - 1 - 4
    assert all(isinstance(error, TooMany) and error.retry_after > 0 for error in refused)
    quiet = await _hold(share, "quiet", 2)
    assert _held(quiet) == [1]
    assert not quiet[1].task.done()
    await _end(busy, quiet)


async def test_wait_ends_at_its_deadline() -> None:
    """With 429 for a tenant that has its share, with 503 where the others hold everything; nothing stays behind."""
    share = FairShare(2, places=8, seconds=0.001)
    first, second = Holder(share, "a"), Holder(share, "b")
    await _turn()
    for tenant, refusal in (("a", TooMany), ("c", Unavailable)):
        with pytest.raises(SpineError) as raised:
            async with share.slot(tenant):
                pass
        assert type(raised.value) is refusal
        assert raised.value.retry_after > 0
    await _end([first, second])
    await _require_whole(share, slots=2, places=8)


async def test_slot_lent_at_the_moment_of_a_cancellation_is_not_lost() -> None:
    """The one that waited is cancelled in the same turn in which the slot came free."""
    share = FairShare(1, places=8, seconds=PATIENT)
    first, second, third = Holder(share, "a"), Holder(share, "b"), Holder(share, "c")
    await _turn()
    first._go.set()
    await first.task
    second.task.cancel()
    await asyncio.wait_for(third.has.wait(), PATIENT)
    await _end([second, third])
    await _require_whole(share, slots=1, places=8)


async def test_error_in_the_block_gives_the_slot_back() -> None:
    """Whatever it is."""
    share = FairShare(1, places=8, seconds=PATIENT)
    for error in (ValueError, asyncio.CancelledError, KeyboardInterrupt):
        with pytest.raises(error):
            async with share.slot("a"):
                raise error
    await _require_whole(share, slots=1, places=8)


async def test_work_that_cannot_be_stopped_keeps_its_slot() -> None:
    """A tenant that asks and leaves, again and again, gets no further helpers by it."""
    share = FairShare(2, places=8, seconds=PATIENT)
    work: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    caller = asyncio.create_task(share.until_done("a", lambda: work))
    await _turn()
    caller.cancel()
    await asyncio.wait({caller})
    again = await _hold(share, "a", 1)
    assert _held(again) == [0]
    work.set_result("done")
    await asyncio.wait_for(again[0].has.wait(), PATIENT)
    await _end(again)
    await _require_whole(share, slots=2, places=8)


async def test_work_that_does_not_begin_gives_its_slot_back() -> None:
    """And its error is the caller's."""
    share = FairShare(1, places=8, seconds=PATIENT)

    def broken() -> "asyncio.Future[None]":
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await share.until_done("a", broken)
    await _require_whole(share, slots=1, places=8)


@pytest.mark.parametrize("seed", range(20))
async def test_any_order_of_moves_keeps_the_invariants(seed: int) -> None:
    """Tenants come, go and are cancelled at random; the share is looked at after each move."""
    chance = Random(seed)
    slots, places = chance.randint(1, 9), chance.randint(2, 30)
    share, holders = FairShare(slots, places=places, seconds=PATIENT), list[Holder]()
    for _ in range(300):
        move = chance.random()
        if move < 0.5:
            holders.append(Holder(share, chance.choice("abcd")))
        elif holders:
            holder = chance.choice(holders)
            if move < 0.75:
                holder.task.cancel()
            else:
                holder._go.set()
        for _ in range(chance.choice((0, 1, 10))):
            await asyncio.sleep(0)
        _require_invariants(share, slots=slots, places=places)
    await _end(holders)
    await _require_whole(share, slots=slots, places=places)


def _require_invariants(share: FairShare, *, slots: int, places: int) -> None:
    held, waiting = share._held, share._waiting
    assert sum(held.values()) + share._free == slots
    assert share._free >= 0
    assert sum(map(len, waiting.values())) + share._places == places
    assert max(held.values(), default=0) <= (slots + 1) // 2, "more than half is nobody's"
    for tenant in waiting:
        assert held[tenant] >= share._free, "a tenant waits that may take a slot"


async def _require_whole(share: FairShare, *, slots: int, places: int) -> None:
    await _turn()
    assert (share._free, share._places) == (slots, places)
    assert share._held == Counter()
    assert share._waiting == {}

"""When garbage is searched for."""

import asyncio
import gc
import weakref

import pytest

from config import garbage
from config.ending import end
from config.garbage import collect_forever, pause_s


class Ring:
    """Garbage that only a search finds, once nobody else holds it."""

    def __init__(self) -> None:
        self.itself = self


async def test_what_only_a_search_finds_goes_with_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what has lived through searches of the young, and is searched for by nobody's count any more."""
    monkeypatch.setattr(garbage, "EVERY_SECONDS", 0.01)
    collecting = asyncio.create_task(collect_forever())
    await asyncio.sleep(0)
    gone = asyncio.Event()
    ring = Ring()
    weakref.finalize(ring, gone.set)
    gc.collect(1)
    gc.collect(1)
    assert not gone.is_set()
    del ring
    async with asyncio.timeout(5):
        await gone.wait()
    await end(collecting)


async def test_what_was_there_at_the_start_is_not_searched() -> None:
    """It is there for good, and most of all there is."""
    early = Ring()
    collecting = asyncio.create_task(collect_forever())
    await asyncio.sleep(0)
    late = Ring()
    tracked = {id(one) for one in gc.get_objects()}
    assert (id(early) in tracked, id(late) in tracked) == (False, True)
    await end(collecting)


async def test_the_collector_is_given_back() -> None:
    """To whoever goes on in this process without a loop that searches."""
    before = gc.get_threshold(), gc.get_freeze_count()
    collecting = asyncio.create_task(collect_forever())
    await asyncio.sleep(0)
    assert (gc.get_threshold(), gc.get_freeze_count()) != before
    await end(collecting)
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_long_searches_are_rarer_and_none_is_put_off_for_good() -> None:
    """A thousandth of the time goes into them, but for the minute and the ten minutes between which they come."""
    assert [pause_s(took) for took in (0.0, 0.05, 0.1, 0.6, 3600.0)] == [60.0, 60.0, 100.0, 600.0, 600.0]

"""When garbage is searched for."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from config import garbage
from config.garbage import collect_forever


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Give the other tests their collector back."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


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
    collecting.cancel()


async def test_what_was_there_at_the_start_is_not_searched() -> None:
    """It is there for good, and most of all there is."""
    early = Ring()
    collecting = asyncio.create_task(collect_forever())
    await asyncio.sleep(0)
    late = Ring()
    tracked = {id(one) for one in gc.get_objects()}
    assert (id(early) in tracked, id(late) in tracked) == (False, True)
    collecting.cancel()

"""Questions that are gathered or shared: few askings, each after its questions; nobody's trouble is another's."""

import asyncio

import pytest

from realtime.feed.query_batcher import MAX_IN_FLIGHT, MOST, QueryBatcher
from realtime.feed.singleflight import SingleFlight
from tests.realtime.feed.watcher import eventually


class Table:
    """Answers a number with its double, when it is let; what is below zero fails its asking."""

    def __init__(self) -> None:
        self.askings: list[list[int]] = []
        self.open = asyncio.Event()

    async def ask(self, questions: list[int]) -> list[int]:
        """Answer."""
        self.askings.append(questions)
        await self.open.wait()
        if min(questions) < 0:
            raise ValueError(questions)
        return [2 * question for question in questions]


async def test_who_comes_during_an_asking_shares_the_next() -> None:
    """Each slot is taken by one who comes alone; all the others wait, and then are two askings of bounded size."""
    table = Table()
    gathering: QueryBatcher[int, int] = QueryBatcher(table.ask)
    futures = []
    for number in range(MAX_IN_FLIGHT):
        futures.append(gathering.put(number))
        await eventually(lambda: len(table.askings) == len(futures))
    futures += [gathering.put(number) for number in range(MAX_IN_FLIGHT, MAX_IN_FLIGHT + MOST + 1)]
    table.open.set()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*futures) == [2 * number for number in range(len(futures))]
    assert [len(asking) for asking in table.askings] == [*[1] * MAX_IN_FLIGHT, MOST, 1]
    async with asyncio.timeout(10):
        assert await gathering.put(50) == 100, "an asker that has gone home is not counted on"


async def test_while_nobody_waits_long_one_asks_for_all() -> None:
    """A second asking costs another round trip: it begins only for those who have waited longer than is usual."""
    table = Table()
    gathering: QueryBatcher[int, int] = QueryBatcher(table.ask, patience_s=600)
    futures = [gathering.put(0)]
    await eventually(lambda: table.askings)
    futures += [gathering.put(number) for number in range(1, 6)]
    table.open.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*futures)
    assert table.askings == [[0], [1, 2, 3, 4, 5]]


async def test_who_asks_the_same_at_once_shares_a_reading() -> None:
    """Nobody's leaving is another's, and whoever comes after they have gone on has a reading of his own."""
    readings: SingleFlight[int] = SingleFlight()
    begun: list[asyncio.Future[int]] = []

    def begin() -> asyncio.Future[int]:
        begun.append(asyncio.get_running_loop().create_future())
        return begun[-1]

    leaving, staying = (asyncio.ensure_future(readings.share("visit", begin)) for _ in range(2))
    leaving.cancel()
    begun[0].set_result(1)
    async with asyncio.timeout(10):
        assert await staying == 1
    await eventually(lambda: not readings._under_way)
    asyncio.ensure_future(readings.share("visit", begin)).cancel()
    assert len(begun) == 2


async def test_a_failed_asking_is_the_trouble_of_those_in_it() -> None:
    """All of one asking hear of its failure; the next is none the worse, nor is one whose neighbour gave up."""
    table = Table()
    gathering: QueryBatcher[int, int] = QueryBatcher(table.ask)
    failing = [gathering.put(number) for number in (1, -1)]
    await eventually(lambda: table.askings)
    waiting = [gathering.put(number) for number in (3, 4)]
    waiting[0].cancel()
    table.open.set()
    async with asyncio.timeout(10):
        assert [type(error) for error in await asyncio.gather(*failing, return_exceptions=True)] == [ValueError] * 2
        assert await waiting[1] == 8


async def test_closing_lets_nobody_wait() -> None:
    """Neither those who are being asked for nor those who wait to be."""
    gathering: QueryBatcher[int, int] = QueryBatcher(Table().ask)
    futures = [gathering.put(1)]
    await asyncio.sleep(0)
    futures += [gathering.put(number) for number in range(3)]
    await gathering.close()
    for future in futures:
        with pytest.raises(asyncio.CancelledError):
            await future

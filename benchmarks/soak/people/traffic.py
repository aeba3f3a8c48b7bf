"""Everybody at once: the crowd and its writers, contractors with their customers, operators, monitors, strangers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from random import Random
from typing import TypeAlias

from benchmarks.soak.house import House
from benchmarks.soak.people.caller import Caller, WrongAnswer
from benchmarks.soak.people.contractor import Contractor
from benchmarks.soak.people.crowd import Crowd
from benchmarks.soak.people.material import Material
from benchmarks.soak.people.passers_by import Monitor, Operator, Stranger
from benchmarks.soak.people.shift import Shift

WRITERS = 6
TRANSACTIONS_A_SECOND = 12.0
CONTRACTORS = 10
OPERATORS = 3
# Between one thing and the next, on average.
CONTRACTOR_SECONDS = 6.0
OPERATOR_SECONDS = 3.0
MONITOR_SECONDS = 3.0
STRANGER_SECONDS = 2.0
# Until everybody has done what they were at.
FINISH_SECONDS = 180.0


# Somebody's next deed, and the pause before it.
Deed: TypeAlias = tuple[Callable[[], Awaitable[None]], float]


class Traffic:
    """What happens in the house while it is on."""

    def __init__(self, house: House, material: Material, random: Random) -> None:
        self._house = house
        self._material = material
        self._random = random

    async def run(self, crowd: Crowd, caller: Caller, seconds: float) -> None:
        """Let everybody begin things for so long, then let them finish."""
        shift = Shift()
        people = [asyncio.create_task(self._work(shift, *deed)) for deed in self._people(caller)]
        churning = asyncio.create_task(crowd.churn())
        try:
            async with crowd.writers.running(WRITERS, transactions_per_second=TRANSACTIONS_A_SECOND):
                await asyncio.wait([churning, *people], timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            shift.end()
            churning.cancel()
        async with asyncio.timeout(FINISH_SECONDS):
            await asyncio.gather(*people)
        with suppress(asyncio.CancelledError):
            await churning

    async def _work(self, shift: Shift, do: Callable[[], Awaitable[None]], pause_s: float) -> None:
        random = self._own_random()
        while await shift.pause(random.expovariate(1 / pause_s)):
            with suppress(WrongAnswer):  # the ledger has it
                await do()

    def _people(self, caller: Caller) -> Iterator[Deed]:
        members = [caller.known_as(tenant.headers) for tenant in self._house.people]
        for number in range(CONTRACTORS):
            member = members[number % len(members)]
            yield Contractor(member, self._material, self._own_random()).do_one, CONTRACTOR_SECONDS
        operators = caller.known_as(self._house.operator.headers)
        for _ in range(OPERATORS):
            yield Operator(operators, self._own_random()).look, OPERATOR_SECONDS
        yield Monitor(caller).ask, MONITOR_SECONDS
        foreign = f"/v1/visits/{self._house.site.visits[0]}"
        yield Stranger(caller, members[0], foreign, self._own_random()).try_all, STRANGER_SECONDS

    def _own_random(self) -> Random:
        return Random(self._random.random())

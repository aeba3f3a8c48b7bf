"""A contractor's page that follows one visit to the end of its job: every event once, in order, none missing."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import httpx
import orjson
from httpx_sse import EventSource

from benchmarks.soak.people.caller import Caller, WrongAnswer

if TYPE_CHECKING:
    from random import Random

PROGRESS = "stream of a visit"
TO_THE_END = "from the stream's opening to the job's end"


class Follower:
    """Opens the stream of a visit, now and then leaves it, and resumes where it was."""

    def __init__(self, caller: Caller, visit: str, random: "Random") -> None:
        self._caller = caller
        self._visit = visit
        self._random = random
        self._last = 0
        self._types: list[str] = []

    async def follow(self) -> str:
        """Follow to the end; returns the type of the last event of the job. Raises `WrongAnswer`."""
        began = time.perf_counter()
        while not await self._once(stays=self._random.random() < 0.7):
            pass
        self._caller.ledger.note(TO_THE_END, 200, time.perf_counter() - began)
        return next(kind for kind in reversed(self._types) if kind.startswith("job."))

    async def _once(self, *, stays: bool) -> bool:
        """Read from where it was; True when the stream has said its end."""
        taken, most = 0, None if stays else self._random.randint(1, 6)
        position = {"last-event-id": str(self._last)}
        async with (
            self._caller.stream(PROGRESS, self._path, 200, **position) as answer,
            aclosing(_events(answer)) as events,
        ):
            async for name, document in events:
                if name == "end":
                    return True
                if name == "message":
                    self._take(document)
                    taken += 1
                if taken == most:
                    return False
        raise self._complain("the stream closed without a word")

    def _take(self, document: dict[str, Any]) -> None:
        if document["seq"] != self._last + 1:
            raise self._complain(f"event {document['seq']} came after {self._last}")
        self._last = document["seq"]
        self._types.append(document["type"])

    def _complain(self, text: str) -> WrongAnswer:
        self._caller.ledger.complain(f"{self._path}: {text}")
        return WrongAnswer(text)

    @property
    def _path(self) -> str:
        return f"/v1/visits/{self._visit}/progress"


async def _events(answer: httpx.Response) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
    async for event in EventSource(answer).aiter_sse():
        if event.data:  # else it only says how soon to come back
            yield event.event, orjson.loads(event.data)

"""Somebody who speaks HTTP with the gateways, and knows what they should answer."""

import itertools
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from random import Random
from typing import Any, Self

import httpx

from benchmarks.soak.ledger import Ledger

ANSWER_SECONDS = 60.0
CONNECTIONS = 200


class WrongAnswer(Exception):
    """The answer was not the one that was wanted; the ledger has it."""


class Caller:
    """Asks each question at the next gateway, as a load balancer would have it."""

    def __init__(
        self, client: httpx.AsyncClient, urls: Iterator[str], ledger: Ledger, headers: Mapping[str, str] | None = None
    ) -> None:
        self.ledger = ledger
        self._client = client
        self._urls = urls
        self._headers = dict(headers or {})

    @classmethod
    @asynccontextmanager
    async def open(cls, urls: Sequence[str], ledger: Ledger) -> AsyncIterator[Self]:
        """Open what all callers share. No cookie is kept: each person carries their own."""
        nobody = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS, limits=limits, cookies=nobody) as client:
            yield cls(client, itertools.cycle(urls), ledger)

    def known_as(self, headers: Mapping[str, str]) -> "Caller":
        """Give the same to somebody with these headers."""
        return Caller(self._client, self._urls, self.ledger, self._headers | dict(headers))

    async def ask(self, kind: str, method: str, path: str, *wanted: int, **more: Any) -> httpx.Response:
        """Ask, and take the time to the answer's end. Raises `WrongAnswer` for a status that is not wanted."""
        began = time.perf_counter()
        url, headers = next(self._urls) + path, self._headers | more.pop("headers", {})
        try:
            answer = await self._client.request(method, url, headers=headers, **more)
        except httpx.TransportError as error:
            raise self._wrong(f"{kind}: {method} {path} had no answer: {error!r}") from error
        self.ledger.note(kind, answer.status_code, time.perf_counter() - began)
        self._require(kind, answer, wanted, answer.text if answer.status_code not in wanted else "")
        return answer

    @asynccontextmanager
    async def stream(self, kind: str, path: str, *wanted: int, **headers: str) -> AsyncIterator[httpx.Response]:
        """Open a stream; its time is that to the head of the answer. Raises `WrongAnswer`, for one that breaks too."""
        began = time.perf_counter()
        request = self._client.stream("GET", next(self._urls) + path, headers=self._headers | headers)
        try:
            async with request as answer:
                self.ledger.note(kind, answer.status_code, time.perf_counter() - began)
                self._require(kind, answer, wanted, "")
                yield answer
        except httpx.TransportError as error:
            raise self._wrong(f"{kind}: {path} broke: {error!r}") from error

    def _require(self, kind: str, answer: httpx.Response, wanted: Sequence[int], text: str) -> None:
        if answer.status_code not in wanted:
            where = f"{answer.request.method} {answer.request.url.path}"
            raise self._wrong(f"{kind}: {where} answered {answer.status_code}, not {wanted}: {text[:300]}")

    def _wrong(self, text: str) -> WrongAnswer:
        self.ledger.complain(text)
        return WrongAnswer(text)


def elsewhere(random: Random) -> dict[str, str]:
    """Return the header that a proxy adds for somebody at an address of their own."""
    return {"x-forwarded-for": f"10.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"}

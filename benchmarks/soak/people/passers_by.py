"""Those who use no visit: operators at their page, monitors, load balancers, and strangers who get it wrong."""

import asyncio
from contextlib import aclosing
from random import Random
from uuid import uuid4

from httpx_sse import EventSource

from benchmarks.soak.people.caller import Caller, elsewhere
from tests.stack import QUEUE_KEY

# How long an operator keeps the page open.
LOOKS_SECONDS = (5.0, 25.0)
KEY = {"x-internal-key": QUEUE_KEY}
PLAIN = {"content-type": "text/plain"}


class Operator:
    """Opens the operators' page, and leaves it open for a while."""

    def __init__(self, caller: Caller, random: Random) -> None:
        self._caller = caller
        self._random = random

    async def look(self) -> None:
        """Look at the page, and follow what changes."""
        await self._caller.ask("/ops", "GET", "/ops", 200)
        heard = 0
        async with self._caller.stream("/ops/live", "/ops/live", 200) as answer:
            try:
                async with asyncio.timeout(self._random.uniform(*LOOKS_SECONDS)):
                    async with aclosing(EventSource(answer).aiter_sse()) as events:
                        async for _ in events:
                            heard += 1
            except TimeoutError:
                if not heard:
                    self._caller.ledger.complain("/ops/live said nothing")
                return
        self._caller.ledger.complain("/ops/live ended by itself")


class Monitor:
    """Asks what monitors and load balancers ask."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def ask(self) -> None:
        """Ask each once."""
        for path in ("/health", "/readyz", "/livez"):
            await self._caller.ask(path, "GET", path, 200)
        await self._caller.ask("/metrics", "GET", "/metrics", 200, headers=KEY)


class Stranger:
    """Asks for what is not theirs, or asks wrongly; `member` is somebody of another tenant than `visit`'s."""

    def __init__(self, stranger: Caller, member: Caller, visit: str, random: Random) -> None:
        self._stranger = stranger
        self._member = member
        self._visit = visit
        self._random = random

    async def try_all(self) -> None:
        """Try each once."""
        nobody, member = self._stranger.known_as(elsewhere(self._random)), self._member
        await nobody.ask("without a token", "GET", "/v1/visits", 401)
        await nobody.ask("false token", "GET", "/v1/visits", 401, headers={"authorization": "Bearer no.such.token"})
        await nobody.ask("metrics without key", "GET", "/metrics", 401)
        await nobody.ask("no such page", "GET", f"/{uuid4()}", 404)
        await member.ask("foreign visit", "GET", self._visit, 404)
        await member.ask("foreign stream", "GET", f"{self._visit}/progress", 404)
        await member.ask("broken JSON", "POST", "/v1/visits", 400, content=b'{"title": ')
        await member.ask("no such visit", "POST", f"/v1/visits/{uuid4()}/estimate", 404)
        await member.ask("operators' page as owner", "GET", "/ops", 403)
        await self._send_wrongly(member)

    async def _send_wrongly(self, member: Caller) -> None:
        visit = (await member.ask("visit opened", "POST", "/v1/visits", 201, json={"title": "Empty"})).headers[
            "location"
        ]
        await member.ask("wrong type", "POST", f"{visit}/media", 415, content=b"words", headers=PLAIN)
        await member.ask(
            "false photo", "POST", f"{visit}/media", 415, content=b"words", headers={"content-type": "image/png"}
        )
        await member.ask("nothing to estimate", "POST", f"{visit}/estimate", 422)
        await member.ask("bad position", "GET", f"{visit}/progress", 400, headers={"last-event-id": "x"})

"""A customer who got a link, and whoever else comes by."""

import re
import secrets
from random import Random
from typing import Any

from benchmarks.soak.people.caller import Caller, elsewhere
from tests.gateway.shares.documents import NO_TERMS, OUR_PAGE

PAGE = {"accept": "text/html"}
# Setting a document in type is a process of its own, each time.
PAPER_SHARE = 0.25
DECIDING_SHARE = 0.5


class Customer:
    """Opens the link in a browser of their own, reads, and mostly answers."""

    def __init__(self, caller: Caller, token: str, estimate: dict[str, Any], random: Random) -> None:
        self._caller = caller.known_as(PAGE | elsewhere(random))
        self._link = f"/e/{token}"
        self._estimate = estimate
        self._random = random

    async def visit(self) -> None:
        """Come in by the door and do what customers do. Raises `WrongAnswer`."""
        await self._caller.ask("door of a share", "GET", self._link, 200)
        opened = await self._caller.ask("share opened", "POST", f"{self._link}/open", 303, headers=OUR_PAGE, data={})
        inside = self._caller.known_as({"cookie": opened.headers["set-cookie"].partition(";")[0]})
        await inside.ask("shared document", "GET", self._link, 200)
        await inside.ask("news of a share", "GET", f"{self._link}/news", 200)
        if self._random.random() < PAPER_SHARE:
            await inside.ask("PDF of a share", "GET", f"{self._link}/estimate.pdf", 200)
        if self._random.random() < DECIDING_SHARE:
            await self._decide(inside)

    async def come_back(self, status: int) -> None:
        """Try the link in another browser; what it gives now is the caller's to know."""
        await self._caller.ask("share that has ended", "GET", self._link, status)

    async def mistype(self) -> None:
        """Try a link that does not exist, by the door and by the form."""
        wrong = f"/e/{secrets.token_urlsafe(32)}"
        await self._caller.ask("wrong token", "GET", wrong, 404)
        await self._caller.ask("wrong token's form", "POST", f"{wrong}/open", 404, headers=OUR_PAGE, data={})

    async def _decide(self, inside: Caller) -> None:
        bound = {"content_hash": self._estimate["content_hash"], "terms_hash": NO_TERMS}
        shown = await inside.ask("document", "GET", self._link, 200)
        bound |= dict(re.findall(r'name="(option|selection_hash)" value="([^"]*)"', shown.text))
        form = {"decision": "accepted", "name": "Maria Lopez", **bound}
        await inside.ask("decision", "POST", f"{self._link}/decision", 303, headers=OUR_PAGE, data=form)
        page = await inside.ask("decided document", "GET", self._link, 200)
        assert re.search("accepted", page.text, re.IGNORECASE)

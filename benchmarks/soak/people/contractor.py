"""A contractor: visits, photos, notes, estimates, links; and sometimes changes their mind."""

import asyncio
import time
from random import Random
from typing import Any

from benchmarks.soak.people.caller import Caller, WrongAnswer
from benchmarks.soak.people.customer import Customer
from benchmarks.soak.people.follower import Follower
from benchmarks.soak.people.material import Material
from benchmarks.soak.people.sender import Sender

NOTES = "Replace three GFCI outlets in the kitchen.\nPaint 240 sq ft of interior wall."
# Until a job that was cancelled says so.
OVER_SECONDS = 60.0
POLL_SECONDS = 0.25
# Of a hundred visits.
STORIES = {"typed": 35, "photographed": 25, "spoken": 8, "given_up": 14, "lost": 6, "resumed": 6, "dropped": 6}


class Contractor:
    """Has stories to do; each ends at its first wrong answer, which the ledger has."""

    def __init__(self, caller: Caller, material: Material, random: Random) -> None:
        self._caller = caller
        self._sender = Sender(caller, material)
        self._random = random

    async def do_one(self) -> None:
        """Do the next story."""
        await getattr(self, self._random.choices(list(STORIES), list(STORIES.values()))[0])()

    async def typed(self) -> None:
        """Have what was typed estimated."""
        await self._estimate(await self._open())

    async def photographed(self) -> None:
        """Have photos estimated too, sent in two ways; then look at what the visit holds."""
        visit = await self._open()
        media_id = await self._sender.post(visit)
        await self._sender.resumable(visit)
        await self._caller.ask("thumbnail", "GET", f"/v1/media/{media_id}/content?size=thumb", 302)
        await self._estimate(visit)
        await self._caller.ask("visit read", "GET", visit, 200)

    async def spoken(self) -> None:
        """Have a spoken note heard and estimated."""
        visit = await self._open()
        await self._sender.speak(visit)
        await self._estimate(visit)

    async def given_up(self) -> None:
        """Ask for an estimate and cancel it, wherever it is by then."""
        visit = await self._open()
        job = await self._ask_for_estimate(visit)
        await asyncio.sleep(self._random.random() * 0.2)
        await self._caller.ask("cancel", "POST", f"/v1/jobs/{job}/cancel", 202)
        until = time.monotonic() + OVER_SECONDS
        while (state := await self._state(job)) not in ("cancelled", "completed"):
            if state not in ("queued", "running") or time.monotonic() > until:
                raise self._complain(f"job {job} is {state} after a cancel")
            await asyncio.sleep(POLL_SECONDS)

    async def lost(self) -> None:
        """Lose the signal in a posted photo."""
        await self._sender.break_off(await self._open())

    async def resumed(self) -> None:
        """Lose the signal in a resumable one, and go on."""
        await self._sender.resume(await self._open())

    async def dropped(self) -> None:
        """Lose it, and give the photo up."""
        await self._sender.give_up(await self._open())

    async def _open(self) -> str:
        fields = {"title": "Kitchen", "notes": NOTES}
        answer = await self._caller.ask("visit opened", "POST", "/v1/visits", 201, json=fields)
        return str(answer.headers["location"])

    async def _ask_for_estimate(self, visit: str) -> str:
        return str((await self._caller.ask("estimate asked for", "POST", f"{visit}/estimate", 202)).json()["id"])

    async def _state(self, job: str) -> str:
        return str((await self._caller.ask("job looked at", "GET", f"/v1/jobs/{job}", 200)).json()["status"])

    async def _estimate(self, visit: str) -> None:
        """Ask, watch to the end, read, edit, and give a customer the link."""
        await self._ask_for_estimate(visit)
        ended = await Follower(self._caller, visit.rpartition("/")[2], self._random).follow()
        if ended != "job.completed":
            raise self._complain(f"the job of {visit} ended as {ended}")
        estimate = (await self._caller.ask("estimate read", "GET", f"{visit}/estimate", 200)).json()
        await self._share(await self._edit(estimate))

    async def _edit(self, estimate: dict[str, Any]) -> dict[str, Any]:
        line = {"description": "Replace gutter", "quantity": "10", "unit": "lf", "unit_price": "10.00"}
        headers = {"if-match": f'"{estimate["version"]}"'}
        path = f"/v1/estimates/{estimate['id']}/lines"
        answer = await self._caller.ask("estimate edited", "PUT", path, 201, json={"lines": [line]}, headers=headers)
        edited: dict[str, Any] = answer.json()
        return edited

    async def _share(self, estimate: dict[str, Any]) -> None:
        path = f"/v1/estimates/{estimate['id']}/shares"
        share = (await self._caller.ask("link made", "POST", path, 201, json={"recipient": "Maria"})).json()
        customer = Customer(self._caller, share["token"], estimate, self._random)
        await customer.visit()
        await customer.mistype()
        await self._caller.ask("timeline", "GET", f"/v1/shares/{share['id']}/timeline", 200)
        await self._caller.ask("link revoked", "POST", f"/v1/shares/{share['id']}/revoke", 200)
        await customer.come_back(410)

    def _complain(self, text: str) -> WrongAnswer:
        self._caller.ledger.complain(text)
        return WrongAnswer(text)

"""Delivers analytics events to the receiver the settings name, each until it is taken; its id makes that once."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import orjson
from pydantic import SecretStr

from config.logging import get_logger
from jobs.queue.retry import backoff
from store.pool import AWAY
from store.queue import outbox
from store.queue.outbox import Delivery

if TYPE_CHECKING:
    from config.settings import Settings
    from store.pool import Database

log = get_logger(__name__)

BATCH = 50
ANSWER_SECONDS = 10.0
# A whole batch of answers that come at the last moment, and room to note them: a shorter one would deliver twice.
LEASE = timedelta(seconds=BATCH * ANSWER_SECONDS + 60)
LOOK_SECONDS = (2.0, 4.0)
LONGEST_WAIT_SECONDS = 900.0
# About the event itself, which stays what it is. All else may be mended on either side, a key out of date too.
FINAL = frozenset({400, 413, 422})


@dataclass(frozen=True)
class Answer:
    """The outcome of one delivery; `error` is None when it was taken."""

    error: str | None = None
    final: bool = False
    retry_after_s: float | None = None


class OutboxDispatcher:
    """Delivers for one worker. Any number may run at once: an event is leased to one of them at a time."""

    def __init__(self, db: "Database", url: str, key: SecretStr | None = None) -> None:
        self._db = db
        self._url = url
        self._headers = {} if key is None else {"authorization": f"Bearer {key.get_secret_value()}"}
        self._away = False

    async def deliver_forever(self) -> None:
        """Deliver the events that are due, at once while there are more, else look every few seconds."""
        async with self.open_client() as client:
            while True:
                if not await self.deliver(client):
                    await asyncio.sleep(random.uniform(*LOOK_SECONDS))  # noqa: S311 - spreads load

    def open_client(self) -> httpx.AsyncClient:
        """Make the client that goes to the receiver; an answer from elsewhere is no answer."""
        return httpx.AsyncClient(headers=self._headers, timeout=ANSWER_SECONDS, follow_redirects=False)

    async def deliver(self, client: httpx.AsyncClient) -> bool:
        """Deliver one batch; tell whether there may be more to deliver now."""
        try:
            async with self._db.as_system() as conn:
                batch = await outbox.take(conn, BATCH, LEASE)
            return await self._deliver_batch(batch, client) and len(batch) == BATCH
        except AWAY as error:
            log.warning("Analytics were put off", error=type(error).__name__)
            return False

    async def _deliver_batch(self, batch: Sequence[Delivery], client: httpx.AsyncClient) -> bool:
        """Deliver in order; a receiver that is away is asked no more, and events not tried wait without a mark."""
        for place, owed in enumerate(batch):
            answer = await self._send(owed, client)
            await self._note(owed, answer)
            if answer.error is not None and not answer.final:
                async with self._db.as_system() as conn:
                    for untried in batch[place + 1 :]:
                        await outbox.give_back(conn, untried)
                return False
        return True

    async def _send(self, owed: Delivery, client: httpx.AsyncClient) -> Answer:
        content = orjson.dumps(owed.as_json(), default=str)
        headers = {"content-type": "application/json", "idempotency-key": str(owed.id)}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                response = await client.post(self._url, content=content, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            return Answer(error=type(error).__name__)
        return judged(response.status_code, response.headers.get("retry-after"))

    async def _note(self, owed: Delivery, answer: Answer) -> None:
        async with self._db.as_system() as conn:
            if answer.error is None:
                await outbox.delivered(conn, owed)
            elif answer.final:
                await outbox.refuse(conn, owed, answer.error)
                log.error("The analytics receiver refuses an event", event_id=str(owed.id), error=answer.error)
            else:
                await outbox.postpone(conn, owed, timedelta(seconds=wait_s(owed.attempts, answer)), answer.error)
        self._log_change(answer)

    def _log_change(self, answer: Answer) -> None:
        """Log only when it changes: an outage is one line, not one per event."""
        away = answer.error is not None and not answer.final
        if away != self._away:
            self._away = away
            if away:
                log.warning("The analytics receiver does not take events; they wait", error=answer.error)
            else:
                log.info("The analytics receiver takes events again")


def judged(status: int, retry_after: str | None) -> Answer:
    """Map an HTTP status to the outcome for the event. Pure."""
    if 200 <= status < 300:  # noqa: PLR2004 - the whole class
        return Answer()
    asked = float(retry_after) if retry_after is not None and retry_after.strip().isdecimal() else None
    return Answer(error=f"HTTP {status}", final=status in FINAL, retry_after_s=asked)


def wait_s(attempts: int, answer: Answer) -> float:
    """Return how long to wait: not before the receiver's own time, else doubling, and never with all the others."""
    asked = min(answer.retry_after_s or 0.0, LONGEST_WAIT_SECONDS)
    return max(asked, backoff(max(attempts, 1), cap_s=LONGEST_WAIT_SECONDS))


def open_dispatcher(settings: "Settings", db: "Database") -> OutboxDispatcher | None:
    """Return the way to the receiver of these settings, None where there is none."""
    return (
        None if settings.analytics_url is None else OutboxDispatcher(db, settings.analytics_url, settings.analytics_key)
    )

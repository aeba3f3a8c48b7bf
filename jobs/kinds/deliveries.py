"""Delivers analytics events to the receiver that the settings name, each until it is taken; its id makes that once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import httpx
import orjson

from config.logging import get_logger
from config.settings import Settings
from jobs.queue.context import JobContext
from jobs.queue.errors import JobError
from jobs.queue.kind import Kind, Subject, Task
from jobs.queue.retry import backoff
from store.pool import Database
from store.queue import outbox

log = get_logger(__name__)

ANSWER_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 900.0
# About the event itself, which stays what it is. All else may be mended on either side, a key out of date too.
FINAL = frozenset({400, 413, 422})


class ReceiverAway(JobError):
    """The receiver does not take events at the moment: this one was not tried, and waits without a mark."""

    code = "receiver_away"

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("The receiver does not take events just now.")
        self.retry_after_s = retry_after_s


class NotDelivered(JobError):
    """The receiver did not take the event."""

    code = "not_delivered"


class DeliveryRefused(JobError):
    """The receiver will never take the event."""

    code = "delivery_refused"
    retryable: ClassVar[bool] = False


@dataclass(frozen=True)
class Answer:
    """What became of one delivery; `error` is None when it was taken."""

    error: str | None = None
    final: bool = False
    retry_after_s: float | None = None


class Receiver:
    """The receiver as one worker knows it: while it is away, one event a while asks for all."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url
        self._failures = 0
        self._away_until = 0.0

    async def deliver(self, event: dict[str, Any]) -> None:
        """Deliver one event. Raises `ReceiverAway`, `NotDelivered` or `DeliveryRefused`."""
        left = self._away_until - time.monotonic()
        if left > 0:
            raise ReceiverAway(left)
        answer = await self._send(event)
        if answer.error is None:
            self._note(0)
        elif answer.final:
            log.error("The analytics receiver refuses an event", event_id=str(event["id"]), error=answer.error)
            raise DeliveryRefused(answer.error)
        else:
            self._note(self._failures + 1, error=answer.error)
            self._away_until = time.monotonic() + wait_s(self._failures, answer)
            raise NotDelivered(answer.error)

    async def _send(self, event: dict[str, Any]) -> Answer:
        content = orjson.dumps(event, default=str)
        headers = {"content-type": "application/json", "idempotency-key": str(event["id"])}
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                response = await self._client.post(self._url, content=content, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            return Answer(error=type(error).__name__)
        return judged(response.status_code, response.headers.get("retry-after"))

    def _note(self, failures: int, **details: str) -> None:
        """Log only when it changes: an outage is one line, not one per event."""
        before, self._failures = self._failures, failures
        if failures and not before:
            log.warning("The analytics receiver does not take events; they wait", **details)
        elif before and not failures:
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


@asynccontextmanager
async def open_deliveries(settings: Settings, db: Database) -> AsyncIterator[Task]:
    """Open the way to the receiver; without one events stay in their own table, and their jobs are done at once."""
    key = settings.analytics_key
    headers = {} if key is None else {"authorization": f"Bearer {key.get_secret_value()}"}
    # An answer from elsewhere is no answer.
    async with httpx.AsyncClient(headers=headers, timeout=ANSWER_SECONDS, follow_redirects=False) as client:
        receiver = None if settings.analytics_url is None else Receiver(client, settings.analytics_url)

        async def deliver(ctx: JobContext) -> None:
            if receiver is None:
                await ctx.complete({"delivered": False})
                return
            async with db.as_system() as conn:
                event = await outbox.event(conn, UUID(ctx.payload["event_id"]))
            if event is not None:
                await receiver.deliver(dict(event))
            await ctx.complete({"delivered": event is not None})

        yield deliver


# Twenty-five tries take some two days.
ANALYTICS_DELIVERY = Kind(
    "analytics_delivery",
    open_deliveries,
    subject=Subject.NONE,
    share=2.0,
    timeout=timedelta(minutes=1),
    max_attempts=25,
    retry_cap_s=4 * 3600.0,
    retention=timedelta(hours=1),
)

"""Delivers analytics events to the receiver that the settings name, each until it is taken; its id makes that once."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

import orjson

from config.logging import get_logger
from config.settings import Settings
from jobs.queue.context import JobContext
from jobs.queue.errors import JobError
from jobs.queue.kind import Kind, Subject, Task
from jobs.queue.retry import backoff
from store.pool import Database
from store.queue import outbox
from store.webhooks import signature
from store.webhooks.address_guard import AddressGuard
from store.webhooks.sender import Answer, Sender, open_sender

log = get_logger(__name__)

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


class Receiver:
    """The receiver as one worker knows it: while it is away, one event a while asks for all."""

    def __init__(self, sender: Sender, url: str, headers: Mapping[str, str], keys: Sequence[bytes] = ()) -> None:
        self._sender = sender
        self._url = url
        self._headers = headers
        self._keys = keys
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
        elif answer.status in FINAL:
            log.error("The analytics receiver refuses an event", event_id=str(event["id"]), error=answer.error)
            raise DeliveryRefused(answer.error)
        else:
            self._note(self._failures + 1, error=answer.error)
            self._away_until = time.monotonic() + wait_s(self._failures, answer.retry_after_s)
            raise NotDelivered(answer.error)

    async def _send(self, event: dict[str, Any]) -> Answer:
        content = orjson.dumps(event, default=str)
        event_id = str(event["id"])
        signed = signature.headers(event_id, int(time.time()), content, self._keys)
        return await self._sender.post(self._url, content, {**self._headers, **signed, "idempotency-key": event_id})

    def _note(self, failures: int, **details: str) -> None:
        """Log only when it changes: an outage is one line, not one per event."""
        before, self._failures = self._failures, failures
        if failures and not before:
            log.warning("The analytics receiver does not take events; they wait", **details)
        elif before and not failures:
            log.info("The analytics receiver takes events again")


def wait_s(failures: int, retry_after_s: float | None) -> float:
    """Return how long to wait: not before the receiver's own time, else doubling, and never with all the others."""
    asked = min(retry_after_s or 0.0, LONGEST_WAIT_SECONDS)
    return max(asked, backoff(max(failures, 1), cap_s=LONGEST_WAIT_SECONDS))


@asynccontextmanager
async def open_deliveries(settings: Settings, db: Database) -> AsyncIterator[Task]:
    """Open the way to the receiver; without one events stay in their own table, and their jobs are done at once."""
    # Its address is the operator's own choice, and may be a private one.
    async with open_sender(AddressGuard(settings.webhook_networks, private=True)) as sender:
        receiver = None if settings.analytics_url is None else _receiver(settings, sender, settings.analytics_url)

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


def _receiver(settings: Settings, sender: Sender, url: str) -> Receiver:
    key, secret = settings.analytics_key, settings.analytics_secret
    headers = {} if key is None else {"authorization": f"Bearer {key.get_secret_value()}"}
    return Receiver(sender, url, headers, () if secret is None else (signature.bytes_of(secret.get_secret_value()),))


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

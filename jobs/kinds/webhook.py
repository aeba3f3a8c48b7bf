"""Webhooks: the kind of job that delivers one event to one endpoint, signed by the Standard Webhooks specification.

A job's payload is {delivery_id}. The receiver's trouble is its company's to see in the log, and no dead letter: a
delivery that is tried no more is `failed` there, and can be made again.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import orjson

from config.logging import get_logger
from config.settings import Settings
from jobs.kinds.deliveries import NotDelivered, ReceiverAway, wait_s
from jobs.kinds.pacing import Pacer
from jobs.queue.context import JobContext
from jobs.queue.kind import Kind, Subject, Task, UniqueBy
from store.pool import Connection, Database, Record
from store.webhooks import deliveries, signature
from store.webhooks.address_guard import AddressGuard
from store.webhooks.sender import Answer, Sender, open_sender

log = get_logger(__name__)

GONE = 410
MAX_TRIES = 25


class WebhookDelivery:
    """Delivers events as jobs ask for it."""

    def __init__(self, db: Database, sender: Sender) -> None:
        self._db = db
        self._sender = sender
        self._pacer = Pacer()

    async def __call__(self, ctx: JobContext) -> None:
        """Deliver what the job is about. Raises `ReceiverAway` where it has to wait, and `NotDelivered`."""
        delivery_id = UUID(ctx.payload["delivery_id"])
        async with self._db.as_system() as conn:
            delivery = await deliveries.read(conn, delivery_id)
        if delivery is None or delivery["state"] != "pending":
            await ctx.complete({})
        elif delivery["status"] != "active":
            await self._give_up(ctx, delivery_id)
        else:
            await self._deliver(ctx, delivery)

    async def _deliver(self, ctx: JobContext, delivery: Record) -> None:
        await self._await_turn(delivery)
        with self._pacer.delivering(delivery["endpoint_id"]):
            answer = await self._sender.post(delivery["url"], *_request(delivery))
        if answer.taken:

            async def taken(conn: Connection) -> None:
                await deliveries.note_taken(conn, delivery, answer)

            await ctx.complete({}, taken)
        elif answer.status == GONE:

            async def gone(conn: Connection) -> None:
                await deliveries.note_gone(conn, delivery, answer)

            await ctx.complete({}, gone)
        else:
            await self._not_taken(ctx, delivery, answer)

    async def _await_turn(self, delivery: Record) -> None:
        """Raise `ReceiverAway` while the endpoint is away or has enough to do; of one that is away one asks for all."""
        wait = delivery["wait_s"] or self._pacer.wait_s(delivery["endpoint_id"])
        if wait:
            raise ReceiverAway(wait)
        if delivery["failures"]:
            async with self._db.as_system() as conn:
                if not await deliveries.begin_probe(conn, delivery):
                    raise ReceiverAway(deliveries.PROBE.total_seconds())

    async def _not_taken(self, ctx: JobContext, delivery: Record, answer: Answer) -> None:
        wait = timedelta(seconds=wait_s(delivery["failures"] + 1, answer.retry_after_s))
        async with self._db.as_system() as conn:
            is_active = await deliveries.note_failure(conn, delivery, answer, wait)
        if not is_active or ctx.attempt >= MAX_TRIES:
            await self._give_up(ctx, delivery["id"])
            return
        raise NotDelivered(answer.error or "")

    async def _give_up(self, ctx: JobContext, delivery_id: UUID) -> None:
        async def writes(conn: Connection) -> None:
            await deliveries.give_up(conn, delivery_id)

        await ctx.complete({}, writes)


def _request(delivery: Record) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of an attempt that is made now."""
    event = {
        "type": delivery["type"],
        "timestamp": delivery["happened_at"],
        "data": orjson.Fragment(delivery["data"]),
    }
    body = orjson.dumps(event, option=orjson.OPT_UTC_Z)
    sent_as = signature.message_id(str(delivery["message_id"]))
    return body, signature.headers(sent_as, int(time.time()), body, delivery["keys"])


@asynccontextmanager
async def open_webhooks(settings: Settings, db: Database) -> AsyncIterator[Task]:
    """Open the way to receivers."""
    async with open_sender(AddressGuard(settings.webhook_networks)) as sender:
        yield WebhookDelivery(db, sender)


# Twenty-five tries take some three and a half days.
WEBHOOK = Kind(
    "webhook",
    open_webhooks,
    subject=Subject.TENANT,
    unique_by=UniqueBy.KEY,
    share=4.0,
    timeout=timedelta(minutes=1),
    max_attempts=MAX_TRIES,
    retry_cap_s=8 * 3600.0,
    retention=timedelta(hours=1),
)

"""Notices at once, by LISTEN, that a job was queued, a running one cancelled, or a tenant's flags changed.

Lost notifications are made up for: queued jobs by the doorbell and by looking, cancels by the renewal, flags by age.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from config.logging import get_logger
from jobs.queue.retry import backoff
from store.ops import health
from store.pool import AWAY
from store.queue import jobs

log = get_logger(__name__)

CHANNEL = "scopekit_control"
QUEUED_CHANNEL = "scopekit_queue"
PROBE_SECONDS = 10.0
SESSION_SECONDS = 1.0
CONNECT_SECONDS = 5.0


class ControlListener:
    """Calls `on_queued(lane)`, `on_cancel(job_id)`, `on_flags(tenant_id)`, and `on_connect` after every (re)connect."""

    def __init__(  # noqa: PLR0913 - what it calls, by name
        self,
        url: str,
        *,
        on_queued: Callable[[str], None],
        on_cancel: Callable[[UUID], None],
        on_flags: Callable[[str], None],
        on_connect: Callable[[], Awaitable[None]],
        worker: str | None = None,
    ) -> None:
        """`worker` is whose leases hang on the connection's session; None behind a transaction pooler."""
        self._url = url
        self._on_queued = on_queued
        self._on_cancel = on_cancel
        self._on_flags = on_flags
        self._on_connect = on_connect
        self._worker = worker
        self._server_settings = {"application_name": "worker-control"} | ({"role": "service_role"} if worker else {})
        self._connects = 0
        self._listens = False

    @property
    def generation(self) -> int | None:
        """The number of the connection that listens, counted from the first; None while none does."""
        return self._connects if self._listens else None

    async def listen_forever(self) -> None:
        """Listen, and connect again whenever that breaks."""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    connection = await asyncpg.connect(
                        self._url, server_settings=self._server_settings, statement_cache_size=0
                    )
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        await connection.add_listener(CHANNEL, self._on_notification)
                        await connection.add_listener(QUEUED_CHANNEL, lambda *word: self._on_queued(str(word[-1])))
                    failures = 0
                    self._connects += 1
                    self._listens = True
                    await self._on_connect()
                    await self._until_broken(connection)
                finally:
                    self._listens = False
                    connection.terminate()
            except AWAY as error:
                failures += 1
                if failures == 1:
                    log.warning(
                        "Jobs start and cancels arrive late: the control connection broke", error=type(error).__name__
                    )
                await asyncio.sleep(backoff(1))  # never longer: the leases hang on it

    def _on_notification(self, _connection: Any, _pid: int, _channel: str, text: object) -> None:
        try:
            message = orjson.loads(str(text))
            match message["kind"]:
                case "cancel":
                    self._on_cancel(UUID(message["job_id"]))
                case "flags":
                    self._on_flags(str(message["tenant_id"]))
        except (ValueError, KeyError, TypeError):  # The channel is open to others; what we do not know is not ours.
            log.debug("A control message was not understood")

    async def _until_broken(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Raise once the connection is gone; a peer that died silently is found by the probe."""
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        holds = self._worker is None
        while True:
            async with asyncio.timeout(CONNECT_SECONDS):
                await health.ping(connection)
                holds = holds or await jobs.hold_session(connection, str(self._worker))
            with suppress(TimeoutError):
                # An earlier session of ours may take a moment to end.
                async with asyncio.timeout(PROBE_SECONDS if holds else SESSION_SECONDS):
                    await lost.wait()

"""The worker's part that sends mails, one round at a time and when the test says so."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from config.settings import Settings
from jobs.kinds.mail.kind import open_mail
from jobs.queue.context import JobContext, Writes
from store.pool import Database


@dataclass
class Attempt:
    """One attempt at one mail's job: what a task needs of its context."""

    service: Database
    job_id: UUID
    payload: Mapping[str, Any]

    async def complete(self, result: Mapping[str, Any], writes: Writes | None = None) -> None:
        """Run the writes and complete the job in one transaction."""
        async with self.service.as_system() as conn:
            if writes is not None:
                await writes(conn)
            await conn.execute(
                "UPDATE jobs SET status = 'completed', result = $2, finished_at = now() WHERE id = $1",
                self.job_id,
                dict(result),
            )


class MailJobs:
    """Sends what waits."""

    def __init__(self, service: Database, settings: Settings) -> None:
        self._service, self._settings = service, settings

    async def send(self) -> int:
        """Try each mail that waits once, the oldest first; how many. Raises what an attempt raises."""
        async with self._service.as_system() as conn:
            waiting = await conn.fetch(
                "SELECT id, payload FROM jobs WHERE job_type = 'mail' AND status = 'queued' ORDER BY id"
            )
        async with open_mail(self._settings, self._service) as task:
            assert task is not None
            for row in waiting:
                await task(cast("JobContext", Attempt(self._service, row["id"], row["payload"])))
        return len(waiting)

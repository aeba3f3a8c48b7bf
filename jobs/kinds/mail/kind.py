"""The kind of job that sends a mail.

A job's payload is {mail: `sign_in`, `invitation`, `webhook_paused`, `alert` or `letter`, about: the id of the request,
the invitation, the endpoint, the operator or the row of `mails`, queued_at}, and of `webhook_paused` {user_id} too.
Neither a secret nor an address stands in it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from config.settings import Settings
from jobs.kinds.mail import accounts, alerts, letters, notices
from jobs.queue.context import JobContext
from jobs.queue.errors import JobError
from jobs.queue.kind import Kind, Subject, Task
from store.errors import Unavailable
from store.mail import mails
from store.mail.smtp import MailRefused
from store.objects.objects import ObjectStore
from store.pool import Connection, Database


class MailNotTaken(JobError):
    """The mail server did not take it; tried again."""

    code = "mail_not_taken"


@asynccontextmanager
async def open_mail(settings: Settings, db: Database) -> AsyncIterator[Task | None]:
    """Lend the task that sends mails, None where no mail server is set."""
    if settings.mail_url is None:
        yield None
        return
    async with ObjectStore.open(settings) as objects:

        async def task(ctx: JobContext) -> None:
            try:
                if ctx.payload["mail"] == "letter":
                    await _send_letter(ctx, db, objects, settings)
                else:
                    await _send_other(ctx, db, settings)
            except Unavailable as error:
                raise MailNotTaken(error.detail) from error

        yield task


async def _send_other(ctx: JobContext, db: Database, settings: Settings) -> None:
    try:
        match ctx.payload["mail"]:
            case "alert":
                sent = await alerts.deliver(db, settings, ctx.payload, ctx.job_id)
            case "webhook_paused":
                sent = await notices.deliver(db, settings, ctx.payload)
            case _:
                sent = await accounts.deliver(db, settings, ctx.payload)
    except MailRefused:
        sent = False
    await ctx.complete({"sent": sent})


async def _send_letter(ctx: JobContext, db: Database, objects: ObjectStore, settings: Settings) -> None:
    mail_id = UUID(ctx.payload["about"])
    failure = await letters.deliver(db, objects, settings, mail_id)

    async def settle(conn: Connection) -> None:
        if failure is not None:
            await mails.settle(conn, mail_id, failure)

    await ctx.complete({"sent": not failure}, settle)


MAIL = Kind(
    "mail",
    open_mail,
    subject=Subject.NONE,
    share=1.0,
    timeout=timedelta(seconds=60),
    # Over a day: a server that is away for a night costs no mail.
    max_attempts=25,
    retry_cap_s=7200.0,
    retention=timedelta(days=1),
)

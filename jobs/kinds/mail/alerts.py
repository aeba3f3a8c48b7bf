"""Mails to operators: an alert begins, or is over."""

from typing import Any
from uuid import UUID

from config.settings import Settings
from jobs.kinds.maintenance import ALERTS
from store.mail import mails, notices, smtp
from store.mail.letter import as_html, as_text
from store.mail.smtp import Mail
from store.pool import Database


async def deliver(db: Database, settings: Settings, payload: Any, job_id: UUID) -> bool:
    """Send an alert's mail; False to a former operator. Raises as `smtp.send` does."""
    async with db.as_system() as conn:
        address = await mails.operator_address(conn, UUID(payload["about"]))
    if address is None:
        return False
    words = ALERTS.get(payload["alert"], payload["alert"]).removeprefix("Alert: ").capitalize()
    letter = notices.alert(words, firing=payload["firing"], value=payload["value"], origin=settings.app_origin)
    text, html = as_text(letter, notices.PRODUCT), as_html(letter, notices.PRODUCT)
    await smtp.send(settings, Mail(address, letter.subject, text, html=html, id=str(job_id)))
    return True

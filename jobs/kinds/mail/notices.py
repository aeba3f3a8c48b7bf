"""Notices to a company's owners: a webhook endpoint is paused."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from config.settings import Settings
from store.mail import messages, smtp
from store.pool import Database
from store.webhooks import deliveries

USEFUL_FOR = timedelta(days=3)


async def deliver(db: Database, settings: Settings, payload: Any) -> bool:
    """Send a notice; False where nobody is to get it any more. Raises as `smtp.send` does."""
    if datetime.now(UTC) - datetime.fromisoformat(payload["queued_at"]) > USEFUL_FOR:
        return False
    endpoint_id, user_id = UUID(payload["about"]), UUID(payload["user_id"])
    async with db.as_system() as conn:
        told = await deliveries.notice(conn, endpoint_id, user_id)
    if told is None:
        return False
    link = f"{settings.app_origin}/company/webhooks/{endpoint_id}"
    await smtp.send(
        settings, messages.webhook_paused(told["email"], company=told["company"], url=told["url"], link=link)
    )
    return True

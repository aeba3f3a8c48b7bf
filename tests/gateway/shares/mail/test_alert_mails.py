"""Alerts reach operators by mail: when one begins and when it is over, without Sentry or Prometheus."""

from typing import Any

from config.settings import Settings
from jobs.kinds.maintenance import check_alerts
from store.pool import Database
from tests.gateway.shares.documents import Visit
from tests.support.mail_jobs import MailJobs
from tests.support.servers.mail_catcher import Catcher
from tests.tenants import Tenant


async def _checked(service: Database, settings: Settings, jobs: MailJobs, catcher: Catcher) -> list[str]:
    before = len(catcher.mails)
    async with service.as_system() as conn:
        await check_alerts(settings, conn)
    await jobs.send()
    return [str(mail["Subject"]) for mail in catcher.mails[before:]]


async def test_an_alert_is_mailed_when_it_begins_and_when_it_is_over(
    service: Database,
    settings: Settings,
    mail_jobs: MailJobs,
    catcher: Catcher,
    admin: Any,
    tenant: Tenant,
    visit: Visit,
) -> None:
    """To each operator with an address; what is repeated in the log every hour is no second mail."""
    await admin.execute("UPDATE alerts SET firing = false, since = NULL, notified_at = NULL")
    await admin.execute("DELETE FROM visit_sync_events")
    await admin.execute("DELETE FROM operators")
    address = f"ops-{tenant.user_id}@example.com"
    await admin.execute("UPDATE users SET email = $2 WHERE id = $1", tenant.user_id, address)
    await admin.execute("INSERT INTO operators (user_id) VALUES ($1)", tenant.user_id)
    await admin.execute(
        "INSERT INTO visit_sync_events (visit_id, tenant_id, event, payload) "
        "VALUES ($1, $2, 'upload_failed', '{\"attempts\": 7}')",
        visit.id,
        tenant.id,
    )
    assert await _checked(service, settings, mail_jobs, catcher) == ["Alert: Uploads fail again and again"]
    assert catcher.mails[-1]["To"] == address
    assert "https://app.example/ops" in catcher.last()
    await admin.execute("UPDATE alerts SET notified_at = notified_at - interval '61 minutes'")
    assert await _checked(service, settings, mail_jobs, catcher) == []
    await admin.execute("DELETE FROM visit_sync_events")
    assert await _checked(service, settings, mail_jobs, catcher) == ["Over: Uploads fail again and again"]
    await admin.execute("DELETE FROM operators")

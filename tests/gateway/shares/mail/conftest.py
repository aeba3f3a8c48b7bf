"""A mail server, and settings that name it."""

from collections.abc import Iterator
from typing import Any

import pytest

from config.settings import Settings
from store.pool import Database
from tests.product import free_port
from tests.stack import Services
from tests.support.mail_jobs import MailJobs
from tests.support.servers.mail_catcher import Catcher, catch_mail


@pytest.fixture
def catcher() -> Iterator[Catcher]:
    """A mail server."""
    with catch_mail(free_port()) as opened:
        yield opened


@pytest.fixture
def settings(services: Services, catcher: Catcher) -> Settings:
    """Settings with mail on."""
    return services.settings(
        mail_url=catcher.url,
        mail_from="ScopeKit <post@app.example>",
        public_url="https://app.example",
        mails_per_day=10,
    )


@pytest.fixture
async def mail_jobs(service: Database, settings: Settings, admin: Any) -> MailJobs:
    """Nothing waits from the test before."""
    await admin.execute("DELETE FROM jobs WHERE job_type = 'mail'")
    return MailJobs(service, settings)

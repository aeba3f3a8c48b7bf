"""The services behind the suite: one embedded stack, and in it a database, a bucket and a Redis number a worker."""

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from config.settings import Settings, load_settings
from devstack.stack import Endpoints
from store.objects.objects import ObjectStore
from store.schema.migrate import migrate

TEMPLATE = "scopekit_template"
JWT_SECRET = "a-secret-of-the-test-suite-32-bytes-long"
QUEUE_KEY = "the-queue-key-of-the-test-suite"


def xdist_worker(config: pytest.Config, *, alone: str = "main") -> str:
    """Name the xdist worker that this is (`gw0`), or give `alone` where there are none."""
    name: str = getattr(config, "workerinput", {"workerid": alone})["workerid"]
    return name


@dataclass(frozen=True)
class Services:
    """Where one xdist worker's own database, Redis number and bucket are."""

    admin_url: str
    gateway_url: str
    worker_url: str
    redis_url: str
    bucket: str
    endpoints: Endpoints

    def environment(self, **more: str) -> dict[str, str]:
        """The variables a process of ours starts with; PATH and HOME are passed on."""
        own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return own | {
            "ENVIRONMENT": "test",
            "DATABASE_URL": self.gateway_url,
            "DATABASE_WORKER_URL": self.worker_url,
            "DATABASE_ADMIN_URL": self.admin_url,
            "REDIS_URL": self.redis_url,
            "S3_ENDPOINT_URL": self.endpoints.s3_endpoint,
            "S3_ACCESS_KEY_ID": self.endpoints.s3_access_key,
            "S3_SECRET_ACCESS_KEY": self.endpoints.s3_secret_key,
            "S3_REGION": self.endpoints.s3_region,
            "S3_BUCKET": self.bucket,
            "JWT_SECRETS": JWT_SECRET,
            "INTERNAL_QUEUE_KEY": QUEUE_KEY,
            "DERIVATIVES_AHEAD": "false",  # tests count the objects they leave
            "ESTIMATE_PRELOAD": "false",  # most workers of the suite hear nothing
            "ALLOWED_ORIGINS": "https://app.example.test,https://share.example.test",
            **more,
        }

    def settings(self, **overrides: Any) -> Settings:
        """The same as a Settings object, for what runs inside the test's process."""
        values = {name.lower(): value for name, value in self.environment().items() if name not in ("PATH", "HOME")}
        return load_settings(**(values | overrides))


async def make_template(endpoints: Endpoints) -> None:
    """Migrate one database that every worker copies: 40 ms a copy instead of a second a migration."""
    connection = await asyncpg.connect(_with(endpoints.admin_url, database="postgres"))
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {TEMPLATE}")
    finally:
        await connection.close()
    await migrate(_with(endpoints.admin_url, database=TEMPLATE))


async def make_bucket(services: Services) -> None:
    """Make the services' bucket."""
    async with ObjectStore.open(services.settings()) as objects:
        await objects.ensure_bucket()


async def make_services(endpoints: Endpoints, worker: str) -> Services:
    """Copy the template for one worker (`gw0`, `main`) and name its bucket and Redis number."""
    database = f"scopekit_{worker}"
    connection = await asyncpg.connect(_with(endpoints.admin_url, database="postgres"))
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {database} TEMPLATE {TEMPLATE}")
    finally:
        await connection.close()
    number = int(worker.removeprefix("gw")) + 1 if worker.startswith("gw") else 0
    return Services(
        admin_url=_with(endpoints.admin_url, database=database),
        gateway_url=_with(endpoints.gateway_url, database=database),
        worker_url=_with(endpoints.worker_url, database=database),
        redis_url=_with(endpoints.redis_url, database=str(number)),
        bucket=f"site-visits-{worker}",
        endpoints=endpoints,
    )


def _with(url: str, *, database: str) -> str:
    return urlsplit(url)._replace(path=f"/{database}").geturl()

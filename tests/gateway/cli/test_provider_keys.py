"""Rotation of keys that a provider issues: old and new both work in between, and the old one fails once revoked."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.settings import Settings
from jobs.kinds.estimate.engines.factory import open_engine
from jobs.kinds.estimate.errors import Misconfigured
from tests.gateway.cli.key_issuer import Key, KeyIssuer, key_issuer
from tests.gateway.cli.rotating import file, gateway, services, text_of
from tests.gateway.uploads.files import files
from tests.jobs.kinds.estimate.engines.api_double import api_double, completed
from tests.jobs.kinds.estimate.engines.test_openai import asked_line
from tests.jobs.kinds.estimate.material import material
from tests.stack import Services
from tests.support.command import answer, scopekit
from tests.tenants import Tenant

__all__ = ["file", "services"]
WAIT_SECONDS = 60.0


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyIssuer]:
    """Run a store that issues keys."""
    with key_issuer(tmp_path_factory.mktemp("issuer")) as running:
        yield running


async def _with_key_of(issuer: KeyIssuer, services: Services) -> tuple[Services, Key]:
    """Return the services with that store in place of the suite's, opened by a first key."""
    await issuer.make_user(services.bucket)
    key = await issuer.issue()
    endpoints = replace(services.endpoints, s3_endpoint=issuer.endpoint, s3_access_key=key.id, s3_secret_key=key.secret)
    return replace(services, endpoints=endpoints), key


def _stores(client: httpx.Client, tenant: Tenant) -> int:
    """Upload a photo to a visit of its own; the status."""
    visit = client.post("/v1/visits", json={}, headers=tenant.headers).json()["id"]
    headers = tenant.headers | {"content-type": "image/jpeg"}
    return client.post(f"/v1/visits/{visit}/media", content=files.jpeg(), headers=headers).status_code


async def test_both_keys_of_the_store_hold_until_the_old_one_is_revoked(
    issuer: KeyIssuer, services: Services, admin: Any, tenant: Tenant, file: Path, tmp_path: Path
) -> None:
    """Gateways with either take photos; one with the old key holds the end back, and fails softly afterwards."""
    ours, old = await _with_key_of(issuer, services)
    new = await issuer.issue()
    environment: dict[str, Any] = {"SECRETS_FILE": str(file)}

    def rotate(*arguments: str, **more: Any) -> Any:
        return answer(ours, "secrets", "rotate", *arguments, **environment, **more)

    with gateway(ours, file, tmp_path) as behind:
        assert _stores(behind, tenant) == 201
        rotate("begin", "s3", "--stdin", "--yes", stdin="\n".join(new))
        with gateway(ours, file, tmp_path) as restarted:
            assert [_stores(client, tenant) for client in (behind, restarted)] == [201, 201]
            await _until_two_have_told(admin)
            await admin.execute("UPDATE secret_rotations SET begun_at = begun_at - interval '24 hours'")
            refused = scopekit(ours, "secrets", "rotate", "finish", "s3", "--yes", **environment)
            assert (refused.returncode, "still use the old value" in refused.stderr) == (4, True)
            rotate("finish", "s3", "--yes", "--force")
            await issuer.revoke(old)
            assert [_stores(client, tenant) for client in (behind, restarted)] == [503, 201]
    for value in (*old, *new):
        assert value not in text_of(tmp_path / "gateway.log")


async def _until_two_have_told(admin: Any) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while await admin.fetchval("SELECT count(*) FROM processes") < 2:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.02)


async def _drafts(settings: Settings) -> int:
    """Return how many lines the model drafts for a worker with these settings."""
    async with open_engine(settings) as engine:
        return len((await engine.draft(material(notes="Replace three outlets."), [], {})).draft.lines)


async def test_both_keys_of_the_model_hold_until_the_old_one_is_revoked(
    services: Services, admin: Any, file: Path
) -> None:
    """A worker with either drafts; with the old one it says afterwards which setting to look at."""
    with api_double() as provider:
        provider.models, provider.keys = ["gpt-5.2", "whisper-1"], {"sk-old", "sk-new"}
        provider.answers(completed({"lines": [asked_line(evidence=[])], "summary": "One line.", "coverage": []}))
        environment: dict[str, Any] = {
            "OPENAI_API_KEY": "sk-old",
            "OPENAI_BASE_URL": provider.url,
            "ESTIMATE_ENGINE": "openai",
        }
        lowered = {name.lower(): value for name, value in environment.items()}
        behind = services.settings(**lowered)
        environment["SECRETS_FILE"] = str(file)
        wrong = scopekit(
            services, "secrets", "rotate", "begin", "openai", "--stdin", "--yes", stdin="sk-typo", **environment
        )
        assert (wrong.returncode, text_of(file)) == (4, "")
        answer(services, "secrets", "rotate", "begin", "openai", "--stdin", "--yes", stdin="sk-new", **environment)
        restarted = services.settings(**lowered, secrets_file=file)
        assert [await _drafts(settings) for settings in (behind, restarted)] == [1, 1]
        await admin.execute("UPDATE secret_rotations SET begun_at = begun_at - interval '24 hours'")
        answer(services, "secrets", "rotate", "finish", "openai", "--yes", **environment)
        provider.keys = {"sk-new"}
        assert await _drafts(restarted) == 1
        with pytest.raises(Misconfigured, match="OPENAI_API_KEY"):
            await _drafts(behind)
        sent = [asked["headers"]["authorization"] for asked in provider.asked]
    assert sent == ["Bearer sk-old", "Bearer sk-new", "Bearer sk-new"]

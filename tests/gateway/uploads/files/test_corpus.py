"""Whatever is sent, the answer says what to do, and the visit goes on."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.gateway.uploads.conftest import Upload
from tests.gateway.uploads.files import files
from tests.gateway.uploads.files.corpus import FAMILIES, Bad
from tests.gateway.uploads.tus.tus import Tus
from tests.tenants import Tenant

REFUSALS = {400, 413, 415, 422}
AT_ONCE = 4


def test_the_corpus_is_large_enough() -> None:
    """At least 200 bad files, each with a name of its own."""
    names = [bad.name for family in FAMILIES.values() for bad in family]
    assert len(names) == len(set(names))
    assert len(names) >= 200


def _must_be_understood(bad: Bad, answer: httpx.Response) -> None:
    """Either it is refused with a sentence, or kept; and what is kept and broken says so to its contractor."""
    assert answer.status_code in {201, *REFUSALS}, f"{bad.name}: {answer.status_code} {answer.text}"
    said: dict[str, Any] = answer.json()
    if answer.status_code != 201:
        assert said["detail"].endswith("."), bad.name
    elif said["status"] == "needs_attention":
        assert said["problem"].endswith("."), bad.name
        assert "Traceback" not in said["problem"]
        assert "Error" not in said["problem"]


@pytest.mark.parametrize("family", FAMILIES)
async def test_no_bad_file_breaks_anything(upload: Upload, family: str) -> None:
    """None is a 500, and after all of them a good photo is stored as ever."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def send(bad: Bad) -> None:
        async with turn:
            _must_be_understood(bad, await upload(bad.body, bad.content_type, **bad.headers))

    await asyncio.gather(*(send(bad) for bad in FAMILIES[family]))
    assert (await upload(files.jpeg(), "image/jpeg")).json()["status"] == "stored"


@pytest.mark.parametrize("family", ["polyglots", "enormous", "hollow"])
async def test_nor_does_one_that_comes_in_pieces(
    client: httpx.AsyncClient, tenant: Tenant, visit: str, family: str
) -> None:
    """The resumable way looks as closely."""
    tus = Tus(client, tenant.headers, visit)
    for bad in FAMILIES[family]:
        answer = await tus.create(len(bad.body), bad.content_type, body=bad.body)
        assert answer.status_code in {201, *REFUSALS}, f"{bad.name}: {answer.status_code} {answer.text}"
    listed = (await client.get(f"/v1/visits/{visit}/media", headers=tenant.headers)).json()["media"]
    assert all(medium["problem"] for medium in listed if medium["status"] == "needs_attention")

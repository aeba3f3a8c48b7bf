"""Helper processes are shared: a tenant whose files or documents take long leaves one to the others."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from store.documents import typesetter
from store.documents.typesetter import Typesetter
from store.errors import TooMany
from store.media.decoder import media_client
from store.media.decoder.media_client import Decoder
from store.objects.spool import Spool, SpoolCopy

PATIENT = 30.0


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have the decoders' helpers answer for a PNG only when told that it is done."""
    done = threading.Event()

    def ask_helper(_self: Decoder, request: dict[str, Any], files: list[SpoolCopy]) -> tuple[dict[str, Any], bytes]:
        if request["content_type"] == "image/png":
            done.wait(PATIENT)
        for file in files:
            file.close()
        return {"outcome": "checked", "findings": {}}, b""

    monkeypatch.setattr(Decoder, "_ask_helper", ask_helper)
    yield done
    done.set()


@pytest.fixture
def file() -> Iterator[Spool]:
    """Make an empty file."""
    spool = Spool()
    yield spool
    spool.close()


async def test_decoder_serves_a_tenant_beside_one_with_slow_files(done: threading.Event, file: Spool) -> None:
    """Also when the busy one hangs up and asks again: a file under way keeps its share until it is done."""
    with Decoder(2) as decoder:
        busy = [asyncio.create_task(decoder.check(file, "image/png", tenant="busy")) for _ in range(5)]
        try:
            for hung_up in busy:
                async with asyncio.timeout(PATIENT):
                    assert (await decoder.check(file, "image/jpeg", tenant="quiet")).problem is None
                hung_up.cancel()
        finally:
            done.set()
        await asyncio.gather(*busy, return_exceptions=True)


async def test_decoder_refuses_a_tenant_that_fills_its_part_of_the_queue(
    done: threading.Event, file: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 for the busy one; the other is served."""
    monkeypatch.setattr(media_client, "WAITING", 2)
    with Decoder(2) as decoder:
        busy = [asyncio.create_task(decoder.check(file, "image/png", tenant="busy")) for _ in range(2)]
        try:
            await asyncio.sleep(0)
            with pytest.raises(TooMany):
                await decoder.check(file, "image/png", tenant="busy")
            assert (await decoder.check(file, "image/jpeg", tenant="quiet")).problem is None
        finally:
            done.set()
        await asyncio.gather(*busy)


async def test_typesetter_serves_a_tenant_beside_one_with_long_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """The busy one gets one process of two."""
    begun, done, under_way = threading.Event(), threading.Event(), 0

    def typeset(_: object, request: bytes) -> bytes:
        nonlocal under_way
        if b"long" in request:
            under_way += 1
            begun.set()
            assert done.wait(PATIENT)
        return b"%PDF-"

    monkeypatch.setattr(typesetter._Process, "_typeset", typeset)
    setter = Typesetter()
    busy = [asyncio.create_task(setter.set({"long": 1}, {}, tenant="busy")) for _ in range(5)]
    assert await asyncio.to_thread(begun.wait, PATIENT)
    async with asyncio.timeout(PATIENT):
        assert await setter.set({}, {}, tenant="quiet") == b"%PDF-"
    assert under_way == 1
    done.set()
    assert await asyncio.gather(*busy) == [b"%PDF-"] * 5

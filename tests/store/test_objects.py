"""The object store when it is there and says nothing."""

import asyncio
import socket

import pytest

from store import objects
from store.errors import Unavailable
from store.objects import ObjectStore
from tests.stack import Services


async def test_a_store_that_hangs_is_not_waited_for(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look at an object ends in `Unavailable` at its deadline, not after every retry's own time."""
    monkeypatch.setattr(objects, "_LOOK_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes the call, and nobody answers
        settings = services.settings(s3_endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        async with asyncio.timeout(10), ObjectStore.open(settings) as store:
            with pytest.raises(Unavailable):
                await store.head("a/key")

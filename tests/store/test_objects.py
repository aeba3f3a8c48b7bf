"""The object store when it is there and says nothing."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from store.errors import Unavailable
from store.objects import s3_errors
from store.objects.objects import ObjectStore
from tests.stack import Services

CALLS: dict[str, Callable[[ObjectStore], Awaitable[object]]] = {
    "head": lambda store: store.head("a/key"),
    "keys": lambda store: store.keys("a/"),
    "delete": lambda store: store.delete("a/key"),
    "get": lambda store: store.get("a/key"),
    "get_range": lambda store: store.get_range("a/key", 0, 9),
    "digest": lambda store: store.digest("a/key"),
    "copy": lambda store: store.copy("a/key", "b/key", content_type="image/jpeg"),
    "put": lambda store: store.put("a/key", b"x", content_type="image/jpeg"),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_store_that_hangs_is_not_waited_for(
    services: Services, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever is asked ends in `Unavailable` at its deadline, not after every retry's own time."""
    monkeypatch.setattr(s3_errors, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(s3_errors, "MOVE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel takes the call, and nobody answers
        settings = services.settings(s3_endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        async with asyncio.timeout(10), ObjectStore.open(settings) as store:
            with pytest.raises(Unavailable):
                await CALLS[name](store)

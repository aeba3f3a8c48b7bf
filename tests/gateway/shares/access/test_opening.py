"""A link: what a look at it shows, what opening it takes, and when it ends."""

import asyncio
import re
from collections import Counter
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from config.settings import Settings
from gateway.app import create_app
from gateway.shares.access import UNKNOWN_LINKS
from tests.gateway.shares.documents import Visit, client_of, customer_of, make_share, share_now, until_refused
from tests.tenants import Tenant

PREVIEWS = {
    "slack": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "safelinks": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130 Safari/537.36 SafeLinks",
    "imessage": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 "
    "Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
    "whatsapp": "WhatsApp/2.23.20.0",
}
# The door says from whom and for whom; the rest is inside.
INSIDE = ("Elm Street", "gutter", "275.63", "298.37", "Porch")


@pytest.mark.parametrize("agent", PREVIEWS.values(), ids=PREVIEWS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_preview_uses_nothing_up_and_learns_nothing(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, agent: str, method: str
) -> None:
    """Whoever only looks at a link takes no view, gets no session and reads nothing of the estimate."""
    share = await make_share(client, tenant, visit, max_views=1)
    for _ in range(3):
        answer = await client.request(method, share["url"], headers={"user-agent": agent})
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert not [word for word in INSIDE if word.lower() in answer.text.lower()]
    assert (await share_now(client, tenant, visit, share["id"]))["views"] == 0


async def test_opening_shows_the_document(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """The door's button leads back to the same address, which now shows the estimate."""
    share = await make_share(client, tenant, visit)
    customer = customer_of(client, share)
    opened = await customer.open()
    assert (opened.status_code, opened.headers["location"]) == (303, f"/e/{share['token']}")
    page = (await customer.look()).text
    names = (
        "Maria Alvarez",
        "7 Elm Street",
        "Harbor &amp; Pine Builders",
        "Replace gutter",
    )
    figures = ("24.5 lf", "$11.25", "$275.63", "Tax (8.25%)", "$22.74", "$298.37", "To be confirmed")
    assert [word for word in names + figures if word not in page] == []


async def test_the_session_is_of_this_browser_and_this_link(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """The cookie is HttpOnly, SameSite=Strict, short, and of this path alone; another browser sees the door."""
    share = await make_share(client, tenant, visit)
    cookie = (await customer_of(client, share).open()).headers["set-cookie"]
    assert re.fullmatch(
        rf"scopekit_share=[\w-]{{43}}; HttpOnly; Max-Age=1800; Path=/e/{share['token']}; SameSite=strict", cookie
    )
    assert "Open the estimate" in (await customer_of(client, share).look()).text


async def test_the_cookie_is_secure_where_the_link_is(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """Behind https the cookie never travels in the clear."""
    share = await make_share(client, tenant, visit)
    answer = await client.post(
        f"https://gateway.test/e/{share['token']}/open", headers={"origin": "https://gateway.test"}
    )
    assert answer.status_code == 303
    assert "; Secure" in answer.headers["set-cookie"]


async def test_a_session_of_one_link_opens_no_other(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """The secret of one link's session is worth nothing at another link."""
    first, second = [await make_share(client, tenant, visit) for _ in range(2)]
    cookie = (await customer_of(client, first).open()).headers["set-cookie"].split(";")[0]
    page = await client.get(second["url"], headers={"cookie": cookie})
    assert "Open the estimate" in page.text


async def test_fifty_at_once_get_exactly_the_ten_views_there_are(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Views are taken one at a time, however many hands reach for them."""
    share = await make_share(client, tenant, visit, max_views=10)
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*(customer_of(client, share).open() for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {303: 10, 410: 40}
    now = await share_now(client, tenant, visit, share["id"])
    assert (now["views"], now["remaining"], now["state"]) == (10, 0, "used_up")


async def test_views_are_counted_without_being_off_by_one(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Two views are two: remaining says 2, 1, 0, and the third open finds nothing left."""
    share = await make_share(client, tenant, visit, max_views=2)
    remaining = [share["remaining"]]
    for _ in range(2):
        assert (await customer_of(client, share).open()).status_code == 303
        remaining.append((await share_now(client, tenant, visit, share["id"]))["remaining"])
    assert remaining == [2, 1, 0]
    assert (await customer_of(client, share).open()).status_code == 410


async def test_a_second_click_takes_no_second_view(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """Twice the same form, at once or later, is one view; and both browsers' answers lead in."""
    share = await make_share(client, tenant, visit, max_views=1)
    customer = customer_of(client, share)
    match = re.search(r'name="once" value="([\w-]{43})"', (await customer.look()).text)
    assert match is not None
    answers = await asyncio.gather(*(customer.open(once=match[1]) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {303}
    assert (await customer.open()).status_code == 303
    assert (await share_now(client, tenant, visit, share["id"]))["views"] == 1
    assert "Replace gutter" in (await customer.look()).text


async def test_a_link_without_a_limit_is_never_used_up(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """No max_views: every browser may open it, and remaining is null."""
    share = await make_share(client, tenant, visit)
    for _ in range(3):
        assert (await customer_of(client, share).open()).status_code == 303
    now = await share_now(client, tenant, visit, share["id"])
    assert (now["views"], now["remaining"], now["state"]) == (3, None, "ready")


async def test_a_used_up_link_still_serves_whoever_is_reading(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """The last view is a whole view: its reader goes on reading, everybody else finds the link gone."""
    share = await make_share(client, tenant, visit, max_views=1)
    reader = customer_of(client, share)
    await reader.open()
    assert (await customer_of(client, share).look()).status_code == 410
    assert "Replace gutter" in (await reader.look()).text


@pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
async def test_a_link_that_ended_ends_its_sessions(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any, column: str
) -> None:
    """After revocation or expiry even an open page is gone: look, open, decide and photos."""
    share = await make_share(client, tenant, visit)
    reader = customer_of(client, share)
    await reader.open()
    await admin.execute(f"UPDATE shares SET {column} = now() WHERE id = $1", share["id"])
    answers = [await reader.look(), await reader.open(), await reader.decide(visit),
               await reader.look(f"/media/{visit.cited}")]  # fmt: skip
    assert [answer.status_code for answer in answers] == [410] * 4
    assert await admin.fetchval("SELECT count(*) FROM share_decisions WHERE share_id = $1", share["id"]) == 0


async def test_a_session_ends_after_half_an_hour(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """A session lives 30 minutes by the database's clock; then the door is there again, and takes a new view."""
    share = await make_share(client, tenant, visit)
    reader = customer_of(client, share)
    await reader.open()
    length = await admin.fetchval(
        "SELECT extract(epoch FROM session_expires - opened_at) FROM share_views WHERE share_id = $1", share["id"]
    )
    assert length == 1800
    await admin.execute("UPDATE share_views SET session_expires = now() WHERE share_id = $1", share["id"])
    assert "Open the estimate" in (await reader.look()).text
    assert (await reader.open()).status_code == 303
    assert (await share_now(client, tenant, visit, share["id"]))["views"] == 2


async def test_an_old_form_brought_back_begins_a_new_session(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """The browser's back button may send a form whose secret was used before; it opens anew all the same."""
    share = await make_share(client, tenant, visit)
    once = "o" * 43
    assert (await customer_of(client, share).open(once=once)).status_code == 303
    await admin.execute("UPDATE share_views SET session_expires = now() WHERE share_id = $1", share["id"])
    reader = customer_of(client, share)
    assert (await reader.open(once=once)).status_code == 303
    assert "Replace gutter" in (await reader.look()).text


async def test_unknown_and_ended_links_say_the_same(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """Only the status tells 404 from 410; the words do not tell what there once was."""
    share = await make_share(client, tenant, visit)
    await client.post(f"/v1/shares/{share['id']}/revoke", headers=tenant.headers)
    gone = await client.get(share["url"])
    unknown = await client.get(f"/e/{'x' * 43}")
    assert (gone.status_code, unknown.status_code) == (410, 404)
    assert gone.text == unknown.text


@pytest.mark.parametrize("token", ["x", "%00", "%F0%9F%98%80", "a" * 2000, "' OR 1=1 --"])
async def test_a_malformed_link_is_an_unknown_one(client: httpx.AsyncClient, token: str) -> None:
    """What cannot be a token is looked up like one, and not found."""
    answer = await client.get(f"http://gateway.test/e/{token}", headers={"accept": "text/html"})
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://gateway.test"},
        {"origin": "https://evil.example"},
        {},
    ],
)
async def test_another_sites_page_cannot_open_a_link(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, headers: dict[str, str]
) -> None:
    """Opening needs the click on our own page; a scanner that posts blindly takes nothing."""
    share = await make_share(client, tenant, visit)
    answer = await client.post(f"{share['url']}/open", headers=headers)
    assert answer.status_code == 403
    assert (await share_now(client, tenant, visit, share["id"]))["views"] == 0


@pytest.mark.parametrize("origin", ["http://gateway.test", "null"])
async def test_a_browser_without_fetch_metadata_may_open_it(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, origin: str
) -> None:
    """Old browsers send Origin alone, and `null` because our pages say no-referrer."""
    share = await make_share(client, tenant, visit)
    assert (await client.post(f"{share['url']}/open", headers={"origin": origin})).status_code == 303


async def test_only_the_first_open_is_told_to_the_contractor(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """The visit's stream gets one share.opened, with the share and its recipient."""
    share = await make_share(client, tenant, visit, recipient="Maria")
    for _ in range(2):
        await customer_of(client, share).open()
    events = await admin.fetch("SELECT payload FROM processing_events WHERE type = 'share.opened'"
                               " AND visit_id = $1", visit.id)  # fmt: skip
    assert [event["payload"] for event in events] == [{"share_id": share["id"], "recipient": "Maria"}]


async def test_of_the_visitor_little_is_kept(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """A view keeps the kind of browser and a truncated address, not the one or the other."""
    share = await make_share(client, tenant, visit)
    customer = customer_of(client, share)
    customer.headers["user-agent"] = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148"
    await customer.open()
    view = await admin.fetchrow("SELECT * FROM share_views WHERE share_id = $1", share["id"])
    assert view is not None
    assert (view["user_agent_class"], view["address_prefix"]) == ("phone", "127.0.0.0/24")


async def test_json_is_a_form_too(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """A program may open with JSON, and gets its errors as problem documents."""
    share = await make_share(client, tenant, visit, passcode="4711")
    headers = {"origin": "http://gateway.test", "accept": "application/json"}
    wrong = await client.post(f"{share['url']}/open", json={"passcode": "0000"}, headers=headers)
    assert (wrong.status_code, wrong.headers["content-type"]) == (403, "application/problem+json")
    right = await client.post(f"{share['url']}/open", json={"passcode": "4711"}, headers=headers)
    assert right.status_code == 303


async def test_an_address_that_searches_is_slowed_down(client: httpx.AsyncClient) -> None:
    """After thirty unknown links an address has to wait, and is told how long."""
    answers = await until_refused(lambda number: client.get(f"/e/{number:043}"), int(UNKNOWN_LINKS.burst))
    assert {answer.status_code for answer in answers[:-1]} == {404}
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 2


async def test_unknown_links_count_across_gateways_and_restarts(
    client: httpx.AsyncClient, app: Starlette, settings: Settings
) -> None:
    """A second gateway, or the same one after a restart, refuses the first unknown link and everything after it."""
    await until_refused(lambda number: client.get(f"/e/{number:043}"), int(UNKNOWN_LINKS.burst))
    other = create_app(settings)
    async with other.router.lifespan_context(other) as state:
        assert state is not None
        other.state.context = state["context"]
        async with client_of(other) as neighbour:
            assert [(await neighbour.get("/e/" + "y" * 43)).status_code for _ in range(2)] == [429, 429]


@pytest.mark.parametrize("path", ["/open", "/decision"])
async def test_a_reloaded_forms_address_leads_back_to_the_page(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, path: str
) -> None:
    """After a wrong passcode the address bar says /open; a GET there takes nothing and shows the door."""
    share = await make_share(client, tenant, visit, max_views=1)
    answer = await customer_of(client, share).look(path)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/e/{share['token']}")
    assert (await share_now(client, tenant, visit, share["id"]))["views"] == 0

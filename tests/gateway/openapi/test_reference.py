"""The reference page: every public operation and schema, from the document itself."""

import re

import httpx

from gateway.openapi.names import NAMES


async def test_the_page_holds_every_operation_and_no_dead_link(client: httpx.AsyncClient) -> None:
    """Visits come first; a link to a place on the page leads there."""
    page = (await client.get("/reference")).text
    ids = re.findall(r' id="([^"]+)"', page)
    assert {name for name, _ in NAMES.values()} <= set(ids)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    assert page.index('id="listVisits"') < page.index('id="getMe"')
    for code in set(re.findall(r'href="/problems/([a-z_]+)"', page)):
        assert (await client.get(f"/problems/{code}", headers={"accept": "text/html"})).status_code == 200

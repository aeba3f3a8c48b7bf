"""Deprecated addresses say so: in their answers and in the document."""

from datetime import timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from gateway.app import all_routes
from gateway.catalogue import describe_public
from gateway.http.deprecation import DEPRECATED
from gateway.openapi.public import operations_of
from tests.product import Product
from tests.tenants import Tenant

ALIAS = "/functions/v1/sse-progress"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_runbooks_address_of_a_stream_says_that_it_is_deprecated(
    server: Product, tenant: Tenant, method: str
) -> None:
    """Since when, until when and where to read of it, on the stream and on a refusal; its successor says nothing."""
    async with httpx.AsyncClient(base_url=server.url, headers=tenant.headers) as client:
        visit = (await client.post("/v1/visits", json={})).json()["id"]
        async with client.stream(method, ALIAS, params={"visit_id": visit}) as stream:
            assert (stream.status_code, stream.headers["deprecation"]) == (200, "@1796083200")
            sunset = parsedate_to_datetime(stream.headers["sunset"])
            assert 'rel="deprecation"' in stream.headers["link"]
        refused = await client.request(method, ALIAS, params={"visit_id": "0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90"})
        assert (refused.status_code, refused.headers["deprecation"]) == (404, "@1796083200")
        async with client.stream("GET", f"/v1/visits/{visit}/progress") as stream:
            assert "deprecation" not in stream.headers
    assert sunset == DEPRECATED[ALIAS].sunset


def test_the_document_marks_what_is_deprecated_and_nothing_else() -> None:
    """With its headers; it stays for twelve months at least."""
    document = describe_public(all_routes())
    marked = {address for address, operation in operations_of(document) if operation.get("deprecated")}
    assert marked == {f"{method} {path}" for path in DEPRECATED for method in ("GET", "POST")}
    for path, deprecation in DEPRECATED.items():
        assert {"Deprecation", "Sunset"} <= document["paths"][path]["get"]["responses"]["200"]["headers"].keys()
        assert deprecation.sunset - deprecation.since >= timedelta(days=365)

"""The document as a PDF: the page's words on numbered pages, and the certificate once it is accepted."""

import asyncio
import dataclasses
import io
from pathlib import Path
from typing import Any

import httpx
import pytest
from pypdf import PdfReader

from store.documents import typesetter
from store.documents.pdf_text import printable
from store.documents.typesetter import Typesetter
from store.errors import TooMany, Unavailable
from store.objects.objects import ObjectStore
from store.pool import Database
from tests.gateway.shares.documents import Customer, Visit, client_of, offer_options, open_share, store_photos
from tests.gateway.shares.rendering.test_acceptance import DRAWN
from tests.tenants import Tenant


async def _pdf(reader: Customer) -> PdfReader:
    answer = await reader.look("/estimate.pdf")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"].startswith('attachment; filename="Estimate-')
    return PdfReader(io.BytesIO(answer.content))


def _words(pdf: PdfReader) -> str:
    return " ".join(" ".join(page.extract_text() for page in pdf.pages).split())


async def test_the_pdf_says_what_the_page_says(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, objects: ObjectStore
) -> None:
    """Contractor, customer, lines, photos by number, totals, terms, validity and page numbers."""
    await store_photos(objects, tenant, visit)
    await client.patch("/v1/branding", json={"terms": "Half on acceptance."}, headers=tenant.headers)
    pdf = await _pdf(await open_share(client, tenant, visit))
    words = _words(pdf)
    wanted = ("Harbor & Pine Builders", "12 Quay Street", "Maria Alvarez", "7 Elm Street", "Porch repair", "Roofing",
              "Replace gutter", "24.5 lf", "$11.25", "$275.63", "To be confirmed", "Tax (8.25%)", "$298.37",
              "Half on acceptance.", "Valid until", "1 North wall", f"Page 1 of {len(pdf.pages)}")  # fmt: skip
    assert [word for word in wanted if word not in words] == []
    assert sum(len(page.images) for page in pdf.pages) == 1
    assert pdf.metadata is not None
    assert str(pdf.metadata.title).startswith("Estimate ")


async def test_what_is_the_contractors_is_not_in_it(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """Neither typed notes nor review reasons, and no certificate before there is one."""
    words = _words(await _pdf(await open_share(client, tenant, visit)))
    for inner in ("discount", "dog bites", "too low", "Certificate", "My lunch"):
        assert inner not in words


async def test_after_acceptance_the_certificate_is_its_last_page(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Who, when, from where, the content's hash and the fingerprint, on a page of its own."""
    reader = await open_share(client, tenant, visit)
    await reader.decide(visit, name="Łukasz Ångström", signature=DRAWN)
    fingerprint = (await reader.look("/certificate.json")).json()["fingerprint"]
    pdf = await _pdf(reader)
    last = " ".join(pdf.pages[-1].extract_text().split())
    assert "Certificate of acceptance" in last
    for word in ("Łukasz Ångström", "Typed name and drawn signature", "127.0.0.0/24", f"Page {len(pdf.pages)} of"):
        assert word in last
    for digest in (visit.estimate["content_hash"], fingerprint):
        assert digest in last.replace(" ", "")
    assert "Accepted by Łukasz Ångström" in _words(pdf)


async def test_options_markup_and_discount_are_on_paper_and_an_acceptance_names_its_option(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """What adds up stands above the total, the other option below it; what is accepted is the offered one."""
    offered = await offer_options(client, tenant, visit)
    reader = await open_share(client, tenant, offered, display={"markup": "line"})
    words = _words(await _pdf(reader))
    scope, beside = words.split("Other options")
    above = ("Scope of work, option “Good”", "Aluminum gutter", "Subtotal $200.00", "Overhead and profit $20.00",
             "Discount \N{MINUS SIGN}$20.00", "Tax (10%) $20.00", "Total $220.00")  # fmt: skip
    assert [word for word in above if word not in scope] == []
    assert [word for word in ("Best Subtotal $400.00", "Copper gutter") if word not in beside] == []
    assert "Copper" not in scope
    assert (await reader.decide(offered)).status_code == 303
    assert "Option Good" in " ".join((await _pdf(reader)).pages[-1].extract_text().split())
    assert "<dt>Option</dt><dd>Good</dd>" in (await reader.look()).text


async def test_an_offer_without_lines_is_printed_all_the_same(values: dict[str, Any]) -> None:
    """All lines may stand in the options that were not chosen."""
    values["groups"] = []
    assert "Scope of work" in _words(PdfReader(io.BytesIO(await Typesetter().set(values, {}, tenant="a"))))


async def test_a_long_estimate_repeats_its_columns_and_counts_its_pages(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, service: Database
) -> None:
    """A hundred lines go over several pages, each with the columns' names and its number."""
    line = {"description": "Ünïcode línea «π» 🔨", "quantity": "2", "unit": "each", "unit_price": "10.00"}
    edited = await client.put(
        f"/v1/estimates/{visit.estimate['id']}/lines",
        json={"lines": [line] * 100},
        headers=tenant.headers | {"if-match": '"1"'},
    )
    longer = Visit(visit.id, edited.json(), visit.cited, visit.uncited, visit.new)
    pdf = await _pdf(await open_share(client, tenant, longer))
    pages = [" ".join(page.extract_text().split()) for page in pdf.pages]
    assert len(pages) >= 3
    for number, page in enumerate(pages[:-1], start=1):
        assert "Unit price" in page
        assert f"Page {number} of {len(pages)}" in page
    assert "Ünïcode línea «π» [hammer]" in pages[0]


def test_pictograms_are_printed_as_their_names() -> None:
    """Accents, other alphabets and line breaks stay; joiners, tones and control characters go; flags are letters."""
    assert printable("Zoë — Ωmega ½\n2") == "Zoë — Ωmega ½\n2"
    assert printable("🔨 👷🏽\u200d♀️ 🇩🇪 \x07\u202e") == "[hammer] [construction worker]♀ DE "
    assert printable({"a": ["🏠", 1, None]}) == {"a": ["[house building]", 1, None]}


async def test_a_lost_photo_is_left_out(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """The document is made all the same."""
    pdf = await _pdf(await open_share(client, tenant, visit))
    assert "Photos" not in _words(pdf)


async def test_without_the_store_there_is_no_document_with_holes(
    client: httpx.AsyncClient, app: Any, tenant: Tenant, visit: Visit
) -> None:
    """A store that is away makes 503 and no PDF: photos are part of what is offered."""

    class Away:
        async def head(self, _key: str) -> None:
            raise Unavailable("The file store does not answer; nothing was changed. Try again.")

    app.state.context = dataclasses.replace(app.state.context, objects=Away())
    async with client_of(app) as caller:
        reader = await open_share(caller, tenant, visit)
        assert (await reader.look("/estimate.pdf")).status_code == 503


def _children() -> set[str]:
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


async def test_a_document_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Past its time the process is killed, and the next document is made as ever."""
    monkeypatch.setattr(typesetter, "SECONDS", 0.0)
    before = _children()
    with pytest.raises(Unavailable):
        await Typesetter().set({}, {}, tenant="a")
    assert _children() <= before


async def test_a_document_that_breaks_the_process_breaks_nothing_else(values: dict[str, Any]) -> None:
    """503 for the one, a PDF for the next."""
    setter = Typesetter()
    with pytest.raises(Unavailable):
        await setter.set({"no": "document"}, {}, tenant="a")
    assert (await setter.set(values, {}, tenant="a")).startswith(b"%PDF-")


async def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]) -> None:
    """Beyond the queue's bound the next is told to come back; those before it are made."""
    monkeypatch.setattr(typesetter, "WAITING", 3)
    setter = Typesetter()
    made = await asyncio.gather(*(setter.set(values, {}, tenant="a") for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in made] == [bytes, bytes, bytes, TooMany, TooMany]


async def test_words_are_never_markup(values: dict[str, Any]) -> None:
    """What would be code in the template's own language is printed as it stands."""
    hostile = '#panic("x") #read("/etc/passwd") $ \\ *b* _i_ @a <l> "q"'
    values["from"]["name"] = hostile
    pdf = PdfReader(io.BytesIO(await Typesetter().set(values, {}, tenant="a")))
    assert '#panic("x") #read("/etc/passwd")' in _words(pdf)


@pytest.fixture
def values() -> dict[str, Any]:
    """A small document, as the template takes it."""
    return {
        "paper": "a4", "accent": "#0b5d49", "logo": None, "number": "2026-5B7E90",
        "from": {"name": "Builders", "address": [], "reach": []},
        "facts": [["Number", "2026-5B7E90"], ["Version", "1"]],
        "for": {"name": "Jane", "address": []}, "visit": {"title": "", "date": "today"},
        "groups": [{"name": "General", "subtotal": "", "lines": [
            {"description": "Gutter", "cells": ["1 each", "", ""], "open": True, "photos": []}]}],
        "columns": ["Description", "Qty", "Unit price", "Amount"], "option": "", "alternatives": [],
        "sums": [["Subtotal", "$0.00"]], "total": "$0.00", "open": "", "terms": [], "photos": [],
        "decision": None, "certificate": None, "hash": "0" * 64,
    }  # fmt: skip

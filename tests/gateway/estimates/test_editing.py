"""Editing an estimate: all lines at once, from a named version, into the next one."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import httpx
import pytest

from gateway.estimates.line_edits import NO_PRICE
from store.estimates import estimates
from store.pool import Database
from tests.gateway.shares.documents import SECRET_REASON, Visit, save_next
from tests.tenants import Tenant

AMOUNT = "Enter an amount such as 285 or 1,250.50."
NEW_LINE = {"description": "Haul away debris", "quantity": "1", "unit": "job", "unit_price": "90.00"}


async def _put(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, lines: list[Any], if_match: str | None = '"1"'
) -> httpx.Response:
    headers = tenant.headers | ({} if if_match is None else {"if-match": if_match})
    return await client.put(f"/v1/estimates/{visit.estimate['id']}/lines", json={"lines": lines}, headers=headers)


def _as_sent(line: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Write a line as a client would send it back."""
    price = None if line["unit_price"] is None else str(line["unit_price"])
    sent = {"id": str(line["id"]), "description": line["description"], "category": line["category"],
            "quantity": line["quantity"], "unit": line["unit"], "unit_price": price}  # fmt: skip
    return sent | changes


async def test_an_edit_makes_the_next_version(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """201 with version 2, rounded and summed anew; version 1 stands as it was."""
    gutter, seat = visit.estimate["lines"]
    answer = await _put(client, tenant, visit, [_as_sent(gutter, quantity="30.25"), _as_sent(seat), NEW_LINE])
    saved = answer.json()
    assert (answer.status_code, answer.headers["etag"], saved["version"]) == (201, '"2"', 2)
    assert [line["amount"] for line in saved["lines"]] == ["340.31", None, "90.00"]
    assert [saved[name] for name in ("subtotal", "tax", "total", "unpriced_count")] == ["430.31", "35.50", "465.81", 1]
    assert saved["content_hash"] != visit.estimate["content_hash"]
    first = await admin.fetchrow("SELECT total, content_hash FROM estimates WHERE id = $1", visit.estimate["id"])
    assert (str(first["total"]), first["content_hash"]) == ("298.37", visit.estimate["content_hash"])


async def test_a_line_that_goes_on_keeps_its_evidence(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """An untouched line stays word for word; a changed one keeps evidence and sheds the review a person just did."""
    gutter, seat = visit.estimate["lines"]
    untouched = (await _put(client, tenant, visit, [_as_sent(gutter), _as_sent(seat)])).json()["lines"]
    for name in ("evidence", "assumptions", "match", "confidence", "needs_review", "review_reasons"):
        assert untouched[0][name] == gutter[name]
    assert untouched[0]["review_reasons"] == [SECRET_REASON]


async def test_what_a_person_wrote_needs_no_review_but_for_its_gaps(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """A repriced line leaves the price book behind; a line without a price says so, a line by hand does not."""
    gutter, seat = visit.estimate["lines"]
    lines = [_as_sent(gutter, unit_price="12.00"), _as_sent(seat, description="Window seat"), NEW_LINE]
    repriced, unpriced, by_hand = (await _put(client, tenant, visit, lines)).json()["lines"]
    assert (repriced["match"], repriced["needs_review"], repriced["review_reasons"]) == (None, False, [])
    assert repriced["evidence"] == gutter["evidence"]
    assert (unpriced["needs_review"], unpriced["review_reasons"]) == (True, [NO_PRICE])
    assert (by_hand["review_reasons"], by_hand["evidence"]) == ([], [])


async def test_a_confirmed_line_needs_no_second_look(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """The tick ends the review of a drafted line, and of one without a price, which stays out of the total."""
    lines = [_as_sent(line, confirmed=True) for line in visit.estimate["lines"]]
    saved = (await _put(client, tenant, visit, lines)).json()
    assert [line["review_reasons"] for line in saved["lines"]] == [[], []]
    assert saved["lines"][0]["evidence"] == visit.estimate["lines"][0]["evidence"]
    assert (saved["unpriced_count"], saved["total"]) == (1, str(visit.estimate["total"]))


@pytest.mark.parametrize(
    ("change", "amount"),
    [
        ({"unit_price": "$285.00"}, "285.00"),
        ({"unit_price": "1,250.50"}, "1250.50"),
        ({"quantity": "2 1/2"}, "225.00"),
        ({"quantity": "1/2"}, "45.00"),
        ({"quantity": 3}, "270.00"),
    ],
)
async def test_numbers_are_taken_as_people_type_them(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, change: dict[str, Any], amount: str
) -> None:
    """Signs, separators and fractions have one exact value."""
    saved = (await _put(client, tenant, visit, [NEW_LINE | change])).json()
    assert saved["lines"][0]["amount"] == amount


@pytest.mark.parametrize(
    ("edit", "field", "message"),
    [
        ({"lines": [NEW_LINE | {"unit_price": "1,5"}]}, "lines.0.unit_price", AMOUNT),
        ({"lines": [NEW_LINE | {"unit_price": ""}]}, "lines.0.unit_price", AMOUNT),
        ({"lines": [NEW_LINE | {"unit_price": True}]}, "lines.0.unit_price", AMOUNT),
        ({"lines": [NEW_LINE | {"unit_price": 1.005}]}, "lines.0.unit_price", "Enter at most 2 decimals."),
        ({"lines": [NEW_LINE | {"quantity": "1/3"}]}, "lines.0.quantity", "Enter at most 3 decimals."),
        ({"lines": [NEW_LINE | {"description": 5}]}, "lines.0.description", "Enter text."),
        ({"lines": [{"description": "x"}]}, "lines.0.quantity", "This is required."),
        ({"lines": "x"}, "lines", "Send a list."),
        ({"lines": [NEW_LINE], "tax_rate": "8,25%"}, "tax_rate",
         "Enter a share such as 0.0825, or a percentage such as 8.25%."),
        ({"lines": [NEW_LINE], "tax_rate": "1"}, "tax_rate", "Enter less than 1."),
        ({"lines": [NEW_LINE], "discount": {"amount": "10%"}}, "discount.amount",
         AMOUNT),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_refused_in_words(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, edit: dict[str, Any], field: str, message: str
) -> None:
    """422 with the field and a sentence of ours; nothing is saved, and nothing becomes 0."""
    answer = await _edit(client, tenant, visit.estimate["id"], 1, **edit)
    assert answer.status_code == 422
    assert answer.json()["errors"][0] == {"field": field, "message": message}
    newest = await client.get(f"/v1/visits/{visit.id}/estimate", headers=tenant.headers)
    assert newest.json()["version"] == 1


async def test_an_edit_must_name_its_version(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """Without If-Match 428, with another ETag or a weak one 412, with what is none 400; nothing is saved."""
    values = (None, '"abc"', 'W/"1"', "1", "abc")
    statuses = [(await _put(client, tenant, visit, [NEW_LINE], value)).status_code for value in values]
    assert statuses == [428, 412, 412, 400, 400]
    newest = await client.get(f"/v1/visits/{visit.id}/estimate", headers=tenant.headers)
    assert newest.json()["version"] == 1


@pytest.mark.parametrize("if_match", ['"1"', '"7", "1"', "*"])
async def test_a_version_may_be_named_alone_in_a_list_or_as_any(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, if_match: str
) -> None:
    """As RFC 9110 has it; the answer says where the new version is, and the old one leads there."""
    answer = await _put(client, tenant, visit, [NEW_LINE], if_match)
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/estimates/{answer.json()['id']}")
    old = await client.get(f"/v1/estimates/{visit.estimate['id']}", headers=tenant.headers)
    assert old.headers["link"] == f'<{answer.headers["location"]}>; rel="latest-version"'
    newest = await client.get(answer.headers["location"], headers=tenant.headers)
    assert "link" not in newest.headers


async def test_an_estimate_that_the_client_has_is_not_sent_again(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """304 while If-None-Match names its ETag, weak or strong, or any."""
    path = f"/v1/visits/{visit.id}/estimate"
    for tags in ('"1"', 'W/"1"', '"0", "1"', "*"):
        answer = await client.get(path, headers=tenant.headers | {"if-none-match": tags})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"1"'), tags
    assert (await client.get(path, headers=tenant.headers | {"if-none-match": '"2"'})).status_code == 200


async def test_lines_as_read_can_be_sent_back(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """What only an answer has is ignored; what a line never has is refused."""
    read = (await client.get(f"/v1/visits/{visit.id}/estimate", headers=tenant.headers)).json()["lines"]
    answer = await _put(client, tenant, visit, [read[0] | {"amount": "1.00"}, read[1]])
    assert answer.status_code == 201
    assert [line["amount"] for line in answer.json()["lines"]] == [line["amount"] for line in read]
    assert (await _put(client, tenant, visit, [read[0] | {"colour": "red"}])).status_code == 422


async def test_an_edit_that_is_sent_again_recognises_itself(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Its answer was lost: the same edit gets the version that it made, and makes no other."""
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*(_put(client, tenant, visit, [NEW_LINE]) for _ in range(4)))
    assert {(answer.status_code, answer.json()["version"]) for answer in answers} == {(201, 2)}
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_an_edit_of_an_old_version_hears_what_has_changed(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """412 names the newest version and its differences, line by line; nothing is overwritten."""
    gutter, _ = visit.estimate["lines"]
    newest = (await _put(client, tenant, visit, [_as_sent(gutter, quantity="30"), NEW_LINE])).json()
    answer = await _put(client, tenant, visit, [NEW_LINE])
    problem = answer.json()
    assert (answer.status_code, problem["latest"]["version"], problem["latest"]["id"]) == (412, 2, newest["id"])
    more_gutter, debris = problem["changes"]
    assert more_gutter == {
        "change": "changed",
        "description": "Replace gutter",
        "before": {"quantity": "24.500"},
        "after": {"quantity": "30.000"},
    }
    assert (debris["before"]["description"], debris["after"]["unit_price"]) == ("Rebuild window seat", "90.00")


async def test_a_new_estimate_from_the_queue_counts_as_newer(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, service: Database
) -> None:
    """A version the worker saved meanwhile is not overwritten either, even where its lines are the same."""
    await save_next(service, visit)
    answer = await _put(client, tenant, visit, [NEW_LINE])
    assert (answer.status_code, answer.json()["changes"]) == (412, [])


async def test_of_edits_at_once_one_wins(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """Ten edits of version 1 at the same moment make one version 2; nine hear that it is there."""
    async with asyncio.timeout(30):
        answers = await asyncio.gather(
            *(_put(client, tenant, visit, [NEW_LINE | {"quantity": str(number)}]) for number in range(1, 11))
        )
    assert Counter(answer.status_code for answer in answers) == {201: 1, 412: 9}
    assert {answer.json()["latest"]["version"] for answer in answers if answer.status_code == 412} == {2}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"quantity": "0"}, "lines.0.quantity"),
        ({"quantity": "-1"}, "lines.0.quantity"),
        ({"quantity": "1.0001"}, "lines.0.quantity"),
        ({"quantity": "NaN"}, "lines.0.quantity"),
        ({"unit_price": "-0.01"}, "lines.0.unit_price"),
        ({"unit_price": "1.005"}, "lines.0.unit_price"),
        ({"unit_price": "Infinity"}, "lines.0.unit_price"),
        ({"description": "  "}, "lines.0.description"),
        ({"description": "x" * 501}, "lines.0.description"),
        ({"unit": ""}, "lines.0.unit"),
        ({"colour": "red"}, "lines.0.colour"),
        ({"id": "0198c5a2-7d3e-7a10-9a64-3f1d2c5b7e90"}, "lines.0.id"),
    ],
)
async def test_a_line_that_does_not_fit_is_named(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, change: dict[str, str], field: str
) -> None:
    """422 with the place of the field; nothing is saved."""
    answer = await _put(client, tenant, visit, [NEW_LINE | change])
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("zero", ["0", "0.00000", "0%", 0, -0.0])
async def test_a_rate_of_zero_is_zero_however_it_is_written(
    client: httpx.AsyncClient, db: Database, tenant: Tenant, visit: Visit, zero: str | float
) -> None:
    """Saved without trouble, and under the hash that the stored rows have when they are reckoned anew."""
    edit = {"lines": [NEW_LINE], "tax_rate": zero, "markup_rate": zero, "discount": {"rate": zero}}
    headers = tenant.headers | {"if-match": '"1"'}
    answer = await client.put(f"/v1/estimates/{visit.estimate['id']}/lines", json=edit, headers=headers)
    saved = answer.json()
    assert (answer.status_code, saved["tax_rate"], saved["total"]) == (201, "0", "90.00")
    async with db.as_user(tenant.claims) as conn:
        stored = await estimates.get(conn, UUID(saved["id"]))
    assert estimates.computed_hash(stored) == saved["content_hash"]


@pytest.mark.parametrize("lines", [[], [NEW_LINE] * 501])
async def test_an_estimate_has_one_to_500_lines(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, lines: list[Any]
) -> None:
    """An estimate of nothing is none, and a body without end is refused."""
    assert (await _put(client, tenant, visit, lines)).status_code == 422


async def test_one_line_cannot_go_on_twice(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """The same id at two places is a mistake of the client's, and evidence is not doubled."""
    gutter = _as_sent(visit.estimate["lines"][0])
    answer = await _put(client, tenant, visit, [gutter, gutter])
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "lines.1.id")


async def test_the_greatest_figures_do_not_break_the_sum(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """What each field allows but the totals cannot hold is refused in words, not with an error of ours."""
    huge = NEW_LINE | {"quantity": "999999999.999", "unit_price": "9999999999.99"}
    answer = await _put(client, tenant, visit, [huge])
    assert answer.status_code == 422
    assert "too large" in answer.json()["detail"]


async def test_another_tenant_edits_nothing(client: httpx.AsyncClient, other_tenant: Tenant, visit: Visit) -> None:
    """A foreign estimate is not there."""
    assert (await _put(client, other_tenant, visit, [NEW_LINE])).status_code == 404


async def test_markup_discount_and_tax_are_edited_with_the_lines(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Each is rounded once: 10 % on 100.00, 5 % off what that makes, and tax on what is left; later edits keep them."""
    line = NEW_LINE | {"unit_price": "100.00"}
    terms = {"markup_rate": "0.10", "discount": {"rate": "0.05"}, "tax_rate": "0.0825"}
    saved = (await _edit(client, tenant, visit.estimate["id"], 1, lines=[line], **terms)).json()
    figures = ("subtotal", "markup", "discount", "tax", "total")
    assert [saved[name] for name in figures] == ["100.00", "10.00", "5.50", "8.62", "113.12"]
    kept = (await _edit(client, tenant, saved["id"], 2, lines=[line | {"unit_price": "200.00"}])).json()
    assert [kept[name] for name in figures] == ["200.00", "20.00", "11.00", "17.24", "226.24"]
    fixed = (await _edit(client, tenant, kept["id"], 3, lines=[line], discount={"amount": "500.00"})).json()
    assert [fixed[name] for name in figures] == ["100.00", "10.00", "110.00", "0.00", "0.00"]
    assert len({one["content_hash"] for one in (visit.estimate, saved, kept, fixed)}) == 4


async def test_options_are_offered_and_the_chosen_one_is_counted(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Lines of no option stand in each; the totals are those of the chosen option."""
    lines = [NEW_LINE, NEW_LINE | {"option": "Good", "unit_price": "10.00"}, NEW_LINE | {"option": "Best"}]
    terms = {"options": ["Good", "Best"], "tax_rate": "0"}
    good = (await _edit(client, tenant, visit.estimate["id"], 1, lines=lines, **terms)).json()
    assert (good["chosen_option"], good["total"], good["line_count"]) == ("Good", "100.00", 3)
    sent = [_as_sent(line, option=line["option"]) for line in good["lines"]]
    best = (await _edit(client, tenant, good["id"], 2, lines=sent, chosen_option="Best")).json()
    assert (best["chosen_option"], best["total"]) == ("Best", "180.00")
    assert best["content_hash"] != good["content_hash"]
    none = (await _edit(client, tenant, best["id"], 3, lines=[NEW_LINE], options=[])).json()
    assert (none["options"], none["chosen_option"], none["total"]) == ([], "", "90.00")


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        ({"lines": [NEW_LINE | {"option": "Best"}]}, "lines.0.option"),
        ({"lines": [NEW_LINE], "options": ["Good", "Good"]}, "options"),
        ({"lines": [NEW_LINE], "options": ["Good"], "chosen_option": "Best"}, "chosen_option"),
        ({"lines": [NEW_LINE], "discount": {"rate": "1.1"}}, "discount.rate"),
        ({"lines": [NEW_LINE], "discount": {"rate": "0.1", "amount": "5"}}, "discount"),
        ({"lines": [NEW_LINE], "tax_rate": "1"}, "tax_rate"),
        ({"lines": [NEW_LINE], "markup_rate": "-0.1"}, "markup_rate"),
    ],
)
async def test_terms_that_do_not_fit_are_named(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, edit: dict[str, Any], field: str
) -> None:
    """422 with the place; nothing is saved."""
    answer = await _edit(client, tenant, visit.estimate["id"], 1, **edit)
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])


async def test_a_typed_price_is_saved_to_the_price_book_where_asked(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """A new thing becomes an item, a second price of it reprices that item, and nothing is learned unasked."""
    learn = NEW_LINE | {"description": "Walnut mantel", "unit": "each", "learn": True}
    first = (await _edit(client, tenant, visit.estimate["id"], 1, lines=[learn, NEW_LINE])).json()
    assert await _book(client, tenant, "walnut mantel") == [("Walnut mantel", "90.00")]
    assert await _book(client, tenant, "haul away debris") == []
    mantel = _as_sent(first["lines"][0], unit_price="120.00", learn=True)
    second = (await _edit(client, tenant, first["id"], 2, lines=[mantel])).json()
    assert await _book(client, tenant, "walnut mantel") == [("Walnut mantel", "120.00")]
    assert second["lines"][0]["price_item_id"] == first["lines"][0]["price_item_id"] is not None


async def test_a_price_is_not_learned_by_an_edit_that_came_too_late(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """The edit and what it teaches the price book are one transaction."""
    await _edit(client, tenant, visit.estimate["id"], 1, lines=[NEW_LINE])
    late = await _edit(client, tenant, visit.estimate["id"], 1, lines=[NEW_LINE | {"learn": True}])
    assert (late.status_code, await _book(client, tenant, "haul away debris")) == (412, [])


async def test_versions_are_listed_and_compared(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """Newest first, who made each; any two of them say what changed between them, in lines and terms."""
    edited = (await _edit(client, tenant, visit.estimate["id"], 1, lines=[NEW_LINE], markup_rate="0.2")).json()
    answer = await client.get(f"/v1/visits/{visit.id}/estimates", headers=tenant.headers)
    assert [(one["version"], one["edited"]) for one in answer.json()["versions"]] == [(2, True), (1, True)]
    path, newest = f"/v1/visits/{visit.id}/estimates", {"limit": 1}
    first = (await client.get(path, params=newest, headers=tenant.headers)).json()
    second = (await client.get(path, params=newest | {"after": first["next"]}, headers=tenant.headers)).json()
    assert [one["version"] for one in (*first["versions"], *second["versions"])] == [2, 1]
    assert (first["has_more"], second["has_more"], second["next"]) == (True, False, None)
    compared = (await client.get(f"/v1/estimates/{edited['id']}/changes", headers=tenant.headers)).json()
    assert (compared["from"]["version"], compared["to"]["total"]) == (1, edited["total"])
    assert [change["change"] for change in compared["changes"]] == ["changed", "removed"]
    assert compared["terms"] == [{"term": "markup_rate", "before": "0", "after": "0.2"}]
    none = await client.get(f"/v1/estimates/{visit.estimate['id']}/changes", headers=tenant.headers)
    assert none.status_code == 404


async def _edit(
    client: httpx.AsyncClient, tenant: Tenant, estimate_id: str, version: int, **edit: Any
) -> httpx.Response:
    headers = tenant.headers | {"if-match": f'"{version}"'}
    return await client.put(f"/v1/estimates/{estimate_id}/lines", json=edit, headers=headers)


async def _book(client: httpx.AsyncClient, tenant: Tenant, query: str) -> list[tuple[str, str]]:
    answer = await client.get("/v1/price-items", params={"q": query}, headers=tenant.headers)
    return [(item["description"], item["unit_price"]) for item in answer.json()["price_items"]]

"""A passcode: asked for at the door, tried a few times at most, kept as a hash."""

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.gateway.shares.documents import Visit, customer_of, make_share, share_now
from tests.tenants import Tenant


async def test_the_right_passcode_opens(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """The door asks for it, forgives spaces around it, and opens."""
    share = await make_share(client, tenant, visit, passcode="blue door")
    customer = customer_of(client, share)
    assert 'name="passcode"' in (await customer.look()).text
    assert (await customer.open(passcode=" blue door ")).status_code == 303
    assert "Replace gutter" in (await customer.look()).text


@pytest.mark.parametrize("passcode", ["", "   ", "wrong", "BLUE DOOR"])
async def test_a_wrong_one_does_not(client: httpx.AsyncClient, tenant: Tenant, visit: Visit, passcode: str) -> None:
    """A wrong or missing passcode takes no view, begins no session and says so on the door itself."""
    share = await make_share(client, tenant, visit, passcode="blue door")
    customer = customer_of(client, share)
    answer = await customer.open(passcode=passcode)
    assert answer.status_code == 403
    assert 'role="alert"' in answer.text
    assert "set-cookie" not in answer.headers
    assert (await share_now(client, tenant, visit, share["id"]))["views"] == 0


async def test_after_five_wrong_ones_the_link_is_locked_for_a_quarter_of_an_hour(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """The sixth try is not even looked at, right or wrong; when the lock has passed, the right one opens."""
    share = await make_share(client, tenant, visit, passcode="blue door")
    wrong = [(await customer_of(client, share).open(passcode=f"guess {n}")).status_code for n in range(5)]
    assert wrong == [403] * 5
    locked = await customer_of(client, share).open(passcode="blue door")
    assert locked.status_code == 429
    assert 890 <= int(locked.headers["retry-after"]) <= 900
    assert "in 15 minutes" in locked.text
    await admin.execute("UPDATE shares SET locked_until = now() WHERE id = $1", share["id"])
    assert (await customer_of(client, share).open(passcode="blue door")).status_code == 303


async def test_tries_are_counted_one_at_a_time(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """Thirty guesses at once are five guesses: a try is spent before it is looked at."""
    share = await make_share(client, tenant, visit, passcode="blue door")
    async with asyncio.timeout(30):
        answers = await asyncio.gather(
            *(customer_of(client, share).open(passcode=f"guess {number}") for number in range(30))
        )
    assert Counter(answer.status_code for answer in answers) == {403: 5, 429: 25}


async def test_wrong_tries_count_over_the_life_of_the_link(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Four wrong, one right, one wrong: locked. A customer who opens it gives a guesser nothing."""
    share = await make_share(client, tenant, visit, passcode="blue door")
    for number in range(4):
        assert (await customer_of(client, share).open(passcode=f"guess {number}")).status_code == 403
    for _ in range(3):
        assert (await customer_of(client, share).open(passcode="blue door")).status_code == 303
    assert (await customer_of(client, share).open(passcode="guess")).status_code == 403
    assert (await customer_of(client, share).open(passcode="blue door")).status_code == 429


async def test_a_right_fifth_try_locks_nothing(client: httpx.AsyncClient, tenant: Tenant, visit: Visit) -> None:
    """Nor does the contractor read of a lock."""
    share = await make_share(client, tenant, visit, passcode="blue door")
    for number in range(4):
        await customer_of(client, share).open(passcode=f"guess {number}")
    for _ in range(2):
        assert (await customer_of(client, share).open(passcode="blue door")).status_code == 303
    assert await told(client, tenant, share) == ["opened", "opened"]


async def test_locks_grow_and_are_told(client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any) -> None:
    """Each lock is four times as long as the one before: 45 guesses a year of the 10,000 codes of four digits."""
    share = await make_share(client, tenant, visit, passcode="blue door")
    guesses, waited = 0, 0
    while waited < 365 * 86_400:
        for number in range(5):
            assert (await customer_of(client, share).open(passcode=f"guess {number}")).status_code == 403
        guesses += 5
        locked = await customer_of(client, share).open(passcode="blue door")
        assert (locked.status_code, "Try again in" in locked.text) == (429, True)
        wait = int(locked.headers["retry-after"])
        assert wait >= 4 * waited // 2 or waited == 0
        waited += wait
        await admin.execute("UPDATE shares SET locked_until = now() WHERE id = $1", share["id"])
        await admin.execute("DELETE FROM scopekit.limit_buckets")  # as long as the lock lasts
    assert guesses <= 50
    assert await told(client, tenant, share) == ["locked"] * (guesses // 5)


async def test_an_address_guesses_only_so_often_whatever_the_link(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit
) -> None:
    """Thirty wrong passcodes, spread over links so that none is locked; then the right one is refused too."""
    shares = [await make_share(client, tenant, visit, passcode="blue door") for _ in range(8)]
    wrong = [await customer_of(client, shares[number // 4]).open(passcode="no") for number in range(31)]
    assert {answer.status_code for answer in wrong[:30]} == {403}
    assert wrong[30].status_code == 429
    late = await customer_of(client, shares[7]).open(passcode="blue door")
    assert (late.status_code, "Too many wrong passcodes" in late.text) == (429, True)


async def told(client: httpx.AsyncClient, tenant: Tenant, share: dict[str, Any]) -> list[str]:
    """Read what the contractor reads."""
    answer = await client.get(f"/v1/shares/{share['id']}/timeline", headers=tenant.headers)
    return [event["kind"] for event in answer.json()["events"]]


async def test_only_an_argon2id_hash_is_kept(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, admin: Any
) -> None:
    """The row holds argon2id with its own salt, and the answer to the contractor does not repeat the passcode."""
    shares = [await make_share(client, tenant, visit, passcode="blue door") for _ in range(2)]
    hashes = [await admin.fetchval("SELECT passcode_hash FROM shares WHERE id = $1", share["id"]) for share in shares]
    assert all(text.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for text in hashes)
    assert hashes[0] != hashes[1]
    assert "blue door" not in str(shares)
    assert all(share["has_passcode"] for share in shares)


async def test_the_database_does_not_take_no_passcode_for_the_right_one(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, db: Any, admin: Any
) -> None:
    """A NULL where the checked hash belongs opens nothing: NULL comparisons do not pass."""
    share = await make_share(client, tenant, visit, passcode="blue door")
    token_hash = await admin.fetchval("SELECT token_hash FROM share_tokens WHERE share_id = $1", share["id"])
    async with db.as_system() as conn:
        for given in (None, "", "blue door"):
            outcome = await conn.fetchval(
                "SELECT scopekit.open_share($1, $2, $3, 60, '', '')", token_hash, b"s" * 32, given
            )
            assert outcome == "passcode"


@pytest.mark.parametrize(("passcode", "named"), [(None, True), ("blue door", False)])
async def test_the_door_names_company_and_customer_but_no_amount(
    client: httpx.AsyncClient, tenant: Tenant, visit: Visit, passcode: str | None, named: bool
) -> None:
    """Link previews read the door: with a passcode it does not name the customer; no view is taken."""
    share = await make_share(client, tenant, visit, **({"passcode": passcode} if passcode else {}))
    door = (await customer_of(client, share).look()).text
    assert "An estimate from Harbor &amp; Pine Builders" in door
    assert ("for Maria Alvarez" in door) is named
    assert "$" not in door
    listed = await client.get(f"/v1/estimates/{visit.estimate['id']}/shares", headers=tenant.headers)
    assert [one["views"] for one in listed.json()["shares"]] == [0]

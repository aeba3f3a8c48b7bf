"""`scopekit company` and `scopekit people`: a company from an empty database, without SQL."""

from typing import Any
from uuid import uuid4

import pytest

from tests.product import free_port
from tests.stack import Services
from tests.support.command import answer, scopekit
from tests.support.servers.mail_catcher import catch_mail
from tests.tenants import Admin


@pytest.fixture
def owner() -> str:
    """An address that nobody has."""
    return f"{uuid4().hex[:8]}@example.com"


def made(services: Services, owner: str, **more: Any) -> Any:
    """Make a company."""
    return answer(services, "company", "create", "Acme Roofing", "--owner", owner, **more)


async def test_a_company_begins_with_its_owners_invitation(services: Services, admin: Admin, owner: str) -> None:
    """Printed, with the flags of the settings; the link's hash alone is kept."""
    found = made(services, owner.upper(), COMPANY_FLAGS="visits.enabled", PUBLIC_URL="https://app.example")
    assert (found["invited"], found["role"], found["mailed"]) == (owner, "owner", False)
    assert found["link"].startswith("https://app.example/join/")
    row = await admin.fetchrow("SELECT * FROM invitations WHERE email = $1", owner)
    assert row is not None
    assert found["link"].rpartition("/")[2] not in str(dict(row))
    flags = await admin.fetchval("SELECT feature_flags FROM tenant_settings WHERE tenant_id = $1", row["tenant_id"])
    assert flags == {"visits": {"enabled": True}}


async def test_the_invitation_is_mailed_too(services: Services, owner: str) -> None:
    """The same link as the printed one; a server that takes nothing costs the mail alone."""
    with catch_mail(free_port()) as catcher:
        mail = {"MAIL_URL": catcher.url, "PUBLIC_URL": "https://app.example"}
        found = made(services, owner, **mail)
        assert found["mailed"]
        assert found["link"] in catcher.last()
        assert catcher.mails[-1]["to"] == owner
        catcher.refuses = True
        done = scopekit(services, "company", "create", "B", "--owner", owner, **mail)
    assert (done.returncode, "not mailed" in done.stdout, "did not take" in done.stderr) == (0, True, True)


async def test_people_are_invited_listed_changed_and_removed(services: Services, admin: Admin, owner: str) -> None:
    """And the last owner stays."""
    company = ("--company", made(services, owner)["company"])
    user = await admin.fetchval("INSERT INTO users (email) VALUES ($1) RETURNING id", owner)
    await admin.execute("INSERT INTO memberships VALUES ($1, $2, 'owner')", company[1], user)
    invited = answer(services, "people", "invite", "new@example.com", *company, "--role", "viewer")
    assert (invited["invited"], invited["role"]) == ("new@example.com", "viewer")
    found = answer(services, "people", "list", *company)
    assert [person["email"] for person in found["people"]] == [owner]
    assert {one["email"] for one in found["invitations"]} == {owner, "new@example.com"}
    assert scopekit(services, "people", "remove", owner, *company, "--yes").returncode == 4
    assert scopekit(services, "people", "role", owner, "member", *company).returncode == 4
    assert scopekit(services, "people", "role", owner, "boss", *company).returncode == 2
    assert scopekit(services, "people", "role", "who@example.com", "member", *company).returncode == 3
    assert scopekit(services, "people", "invite", "none", *company).returncode == 2
    assert scopekit(services, "people", "invite", "a@example.com", "--company", str(uuid4())).returncode == 3


async def test_a_company_is_renamed_and_closed(services: Services, admin: Admin, owner: str) -> None:
    """Closed, nobody belongs to it and nobody can join."""
    company = made(services, owner)["company"]
    await admin.execute("INSERT INTO memberships VALUES ($1, $2, 'owner')", company, uuid4())
    answer(services, "company", "rename", company, "Acme")
    assert "Acme" in {one["name"] for one in answer(services, "company", "list")["companies"]}
    assert scopekit(services, "company", "close", company).returncode == 4
    assert answer(services, "company", "close", company, "--yes")["members"] == 1
    open_offers = "SELECT count(*) FROM invitations WHERE tenant_id = $1 AND withdrawn_at IS NULL"
    assert await admin.fetchval(open_offers, company) == 0


async def test_no_mail_of_a_test_company_leaves(services: Services, admin: Admin, owner: str) -> None:
    """Neither its owner's invitation nor another person's; the links are printed, and the list marks it."""
    with catch_mail(free_port()) as catcher:
        mail: dict[str, Any] = {"MAIL_URL": catcher.url, "PUBLIC_URL": "https://app.example"}
        found = answer(services, "company", "create", "Trial", "--owner", owner, "--test", **mail)
        more = answer(services, "people", "invite", f"x{owner}", "--company", found["company"], **mail)
        assert (found["mailed"], more["mailed"], catcher.mails) == (False, False, [])
    assert found["link"].startswith("https://app.example/join/")
    listed = answer(services, "company", "list")["companies"]
    assert [company["is_test"] for company in listed if company["id"] == found["company"]] == [True]

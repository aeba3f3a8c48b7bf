"""`scopekit operators`: a person is made an operator by address, before or after they have an account."""

from uuid import uuid4

from tests.stack import Services
from tests.support.command import answer, scopekit
from tests.tenants import Admin


async def test_a_person_is_made_an_operator_by_address(services: Services, admin: Admin) -> None:
    """An address without an account gets one, so that a code signs them in; a second time changes nothing."""
    address = f"{uuid4().hex[:8]}@example.com"
    added = answer(services, "operators", "add", address.upper())
    assert added["added"]
    assert await admin.fetchval("SELECT id FROM users WHERE email = $1", address) is not None
    assert not answer(services, "operators", "add", address)["added"]
    assert added["operator"] in {one["user_id"] for one in answer(services, "operators", "list")["operators"]}
    assert answer(services, "operators", "remove", address)["removed"]
    assert scopekit(services, "operators", "remove", address).returncode == 3


async def test_a_user_of_an_identity_provider_is_made_one_by_id(services: Services, admin: Admin) -> None:
    """As `sub` of their token names them; what is neither id nor address is refused."""
    user = str(uuid4())
    assert answer(services, "operators", "add", user)["operator"] == user
    assert await admin.fetchval("DELETE FROM operators WHERE user_id = $1 RETURNING true", user)
    assert scopekit(services, "operators", "add", "somebody").returncode == 2
    assert scopekit(services, "operators", "remove", "nobody@example.com").returncode == 3

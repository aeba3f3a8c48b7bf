"""Our side of Supabase Auth against a double of its REST."""

from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.auth.providers.identity import ProviderRefused
from gateway.auth.providers.supabase_auth import SupabaseAuth
from store.errors import TooMany, Unavailable
from tests.gateway.auth.providers.gotrue import ANON, CODE, SERVICE, GoTrue, gotrue

VERIFIER = "v" * 43
BACK = "http://127.0.0.1:9/sign-in/supabase/callback"


@pytest.fixture
async def project() -> AsyncIterator[GoTrue]:
    """A project with one user."""
    async with gotrue("a-secret-of-the-project-32-bytes-long") as found:
        found.add("mia@acme.test", "correct horse")
        yield found


@pytest.fixture
def auth(project: GoTrue) -> SupabaseAuth:
    """Our side of it."""
    return SupabaseAuth(project.url, ANON, SERVICE)


async def test_a_password_signs_in_and_leaves_no_session_there(project: GoTrue, auth: SupabaseAuth) -> None:
    """The person is kept, and no token of theirs."""
    found = await auth.with_password("mia@acme.test", "correct horse")
    assert (found.issuer, found.subject) == (f"{project.url}/auth/v1", project.accounts["mia@acme.test"].id)
    assert (found.email, found.name) == ("mia@acme.test", "Mia")
    assert project.sessions == {}


@pytest.mark.parametrize(("email", "password"), [("mia@acme.test", "wrong"), ("nobody@acme.test", "correct horse")])
async def test_wrong_reads_the_same_for_everybody(auth: SupabaseAuth, email: str, password: str) -> None:
    """Nobody learns who has an account."""
    with pytest.raises(ProviderRefused, match=r"^The email address or the password is wrong\.$"):
        await auth.with_password(email, password)


async def test_an_address_that_was_not_confirmed_is_told_so(project: GoTrue, auth: SupabaseAuth) -> None:
    """With what to do."""
    project.add("new@acme.test", "any", confirmed=False)
    with pytest.raises(ProviderRefused, match="Confirm your email address first"):
        await auth.with_password("new@acme.test", "any")


async def test_a_mailed_code_signs_in_once(auth: SupabaseAuth) -> None:
    """And a wrong one does not."""
    await auth.send_code("mia@acme.test")
    with pytest.raises(ProviderRefused, match="wrong or has expired"):
        await auth.with_code("mia@acme.test", "000000")
    assert (await auth.with_code("mia@acme.test", CODE)).email == "mia@acme.test"
    with pytest.raises(ProviderRefused):
        await auth.with_code("mia@acme.test", CODE)


async def test_asking_for_a_code_tells_nothing(project: GoTrue, auth: SupabaseAuth) -> None:
    """An address without an account is answered alike, and makes none."""
    await auth.send_code("nobody@acme.test")
    assert (project.mailed, set(project.accounts)) == ([], {"mia@acme.test"})


async def test_a_social_sign_in_comes_back_with_a_code(auth: SupabaseAuth) -> None:
    """It is exchanged with the verifier of the browser that began."""
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(auth.authorization_url("google", BACK, VERIFIER))
    back = httpx.URL(answer.headers["location"])
    assert str(back).startswith(BACK)
    with pytest.raises(ProviderRefused, match="another browser"):
        await auth.with_social(dict(back.params), "w" * 43)
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(auth.authorization_url("google", BACK, VERIFIER))
    found = await auth.with_social(dict(httpx.URL(answer.headers["location"]).params), VERIFIER)
    assert found.email == "mia@acme.test"


async def test_a_social_sign_in_that_was_refused_says_so(auth: SupabaseAuth) -> None:
    """By the parameters it comes back with."""
    with pytest.raises(ProviderRefused, match="did not sign you in"):
        await auth.with_social({"error": "access_denied", "error_code": "unexpected"}, VERIFIER)


async def test_an_invitation_goes_out_by_the_admin_api(project: GoTrue, auth: SupabaseAuth) -> None:
    """With the service key, and with where it leads."""
    await auth.invite("new@acme.test", "http://127.0.0.1:9/")
    assert project.invited == [("new@acme.test", "http://127.0.0.1:9/")]
    with pytest.raises(ProviderRefused, match="SUPABASE_SERVICE_ROLE_KEY"):
        await SupabaseAuth(project.url, ANON).invite("new@acme.test", "http://127.0.0.1:9/")


async def test_its_trouble_is_not_the_persons(project: GoTrue, auth: SupabaseAuth) -> None:
    """Away, and too many tries, each in its own words."""
    project.busy = True
    with pytest.raises(TooMany) as busy:
        await auth.with_password("mia@acme.test", "correct horse")
    assert busy.value.retry_after == 7
    project.down = True
    with pytest.raises(Unavailable):
        await auth.with_password("mia@acme.test", "correct horse")
    with pytest.raises(Unavailable):
        await SupabaseAuth("http://127.0.0.1:9", ANON).with_password("mia@acme.test", "correct horse")
    project.down = project.busy = False
    with pytest.raises(Unavailable):
        await SupabaseAuth(project.url, "a-wrong-key").with_password("mia@acme.test", "correct horse")

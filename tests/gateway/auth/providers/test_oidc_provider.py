"""Our side of OpenID Connect against a certified provider, and against one whose answers do not hold."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from pydantic import ValidationError

from config.oidc_issuer import OidcIssuer
from gateway.auth.providers.identity import Identity, ProviderRefused
from gateway.auth.providers.oidc_provider import OidcProvider
from store.errors import Unavailable
from tests.gateway.auth.providers.oidc_server import SECRET, SOURCE, oidc_server, sign_in_there
from tests.support.npm import assert_pinned, install

REDIRECT = "http://127.0.0.1:9/sign-in/oidc/acme/callback"
STATE, NONCE, VERIFIER = "the-state", "the-nonce", "v" * 43


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the certified provider."""
    with oidc_server(install(SOURCE, tmp_path_factory.mktemp("oidc")), REDIRECT) as found:
        yield found


@pytest.fixture
def provider(issuer: str) -> OidcProvider:
    """Our side of it."""
    return OidcProvider(configured(issuer))


def configured(issuer: str, **changes: Any) -> OidcIssuer:
    """Configure it as an administrator does."""
    values = {"name": "acme", "label": "Acme", "issuer": issuer, "client_id": "scopekit", "client_secret": SECRET}
    return OidcIssuer.model_validate(values | changes)


async def answer_of(provider: OidcProvider, login: str, *, allow: bool = True) -> dict[str, str]:
    """Send a browser there and return the parameters that it comes back with."""
    url = await provider.authorization_url(REDIRECT, state=STATE, nonce=NONCE, verifier=VERIFIER)
    back = await asyncio.to_thread(sign_in_there, url, login, allow=allow)
    assert back.startswith(REDIRECT)
    return dict(parse_qsl(urlsplit(back).query))


def test_the_lock_pins_and_names_no_registry() -> None:
    """As the other locks of npm."""
    assert_pinned(SOURCE)


async def test_a_person_signs_in(provider: OidcProvider, issuer: str) -> None:
    """By code, PKCE, state and nonce; the address comes from the user info, where this provider has it."""
    answer = await answer_of(provider, "mia@acme.test")
    assert (answer["state"], answer["iss"]) == (STATE, issuer)
    found = await provider.identity(answer, REDIRECT, nonce=NONCE, verifier=VERIFIER)
    assert found == Identity(issuer, "mia@acme.test", "mia@acme.test", "mia")


async def test_an_address_that_is_not_verified_is_none(provider: OidcProvider) -> None:
    """It would let anybody in under anybody's address."""
    answer = await answer_of(provider, "unverified@acme.test")
    found = await provider.identity(answer, REDIRECT, nonce=NONCE, verifier=VERIFIER)
    assert (found.subject, found.email) == ("unverified@acme.test", None)


@pytest.mark.parametrize("changes", [{"nonce": "another"}, {"verifier": "w" * 43}, {"redirect": "http://127.0.0.1:9/"}])
async def test_what_another_browser_began_is_refused(provider: OidcProvider, changes: dict[str, str]) -> None:
    """A code alone is worth nothing: it needs the nonce, the verifier and the address that it was asked with."""
    answer = await answer_of(provider, "mia@acme.test")
    given = {"nonce": NONCE, "verifier": VERIFIER, "redirect": REDIRECT} | changes
    with pytest.raises(ProviderRefused):
        await provider.identity(answer, given["redirect"], nonce=given["nonce"], verifier=given["verifier"])


async def test_a_code_works_once(provider: OidcProvider) -> None:
    """The second exchange is refused by the provider."""
    answer = await answer_of(provider, "mia@acme.test")
    await provider.identity(answer, REDIRECT, nonce=NONCE, verifier=VERIFIER)
    with pytest.raises(ProviderRefused):
        await provider.identity(answer, REDIRECT, nonce=NONCE, verifier=VERIFIER)


async def test_a_person_who_cancels_is_told_so(provider: OidcProvider) -> None:
    """In words, not by an error code."""
    answer = await answer_of(provider, "mia@acme.test", allow=False)
    with pytest.raises(ProviderRefused, match="You cancelled"):
        await provider.identity(answer, REDIRECT, nonce=NONCE, verifier=VERIFIER)


async def test_an_answer_of_another_issuer_is_refused(provider: OidcProvider) -> None:
    """RFC 9207: a code of one provider is not taken to another."""
    with pytest.raises(ProviderRefused, match="another issuer"):
        await provider.identity({"code": "x", "iss": "https://evil.test"}, REDIRECT, nonce=NONCE, verifier=VERIFIER)


async def test_a_wrong_secret_is_refused(issuer: str) -> None:
    """And costs the person a sentence."""
    provider = OidcProvider(configured(issuer, client_secret="another"))
    answer = await answer_of(provider, "mia@acme.test")
    with pytest.raises(ProviderRefused):
        await provider.identity(answer, REDIRECT, nonce=NONCE, verifier=VERIFIER)


async def test_signing_out_there_has_an_address(provider: OidcProvider, issuer: str) -> None:
    """RP-initiated logout, by the client's id."""
    url = await provider.end_session_url("http://127.0.0.1:9/")
    assert url is not None
    assert url.startswith(f"{issuer}/session/end?client_id=scopekit&post_logout_redirect_uri=")


@asynccontextmanager
async def odd_provider(document: dict[str, Any]) -> AsyncIterator[str]:
    """Serve one discovery document; `{base}` in it is its own address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps(document).replace("{base}", base).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield base


ENDPOINTS = {
    "authorization_endpoint": "{base}/auth",
    "token_endpoint": "{base}/token",
    "jwks_uri": "{base}/keys",
}


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://another.test", **ENDPOINTS},
        {"issuer": "{base}", **ENDPOINTS, "token_endpoint": "http://far.test/token"},
    ],
)
async def test_a_provider_that_is_not_who_it_should_be_is_refused(document: dict[str, Any]) -> None:
    """Discovery 4.3: the issuer is exactly ours; no endpoint goes in clear over a network."""
    async with odd_provider(document) as base:
        with pytest.raises(ProviderRefused, match="Tell your administrator"):
            await OidcProvider(configured(base)).authorization_url(REDIRECT, state="s", nonce="n", verifier=VERIFIER)


async def test_a_provider_that_is_away_is_no_fault_of_the_person() -> None:
    """And is asked once, not by everybody who presses the button."""
    asked: list[float] = []

    def now() -> float:
        asked.append(0.0)
        return 100.0

    provider = OidcProvider(configured("http://127.0.0.1:9"), clock=now)
    for _ in range(2):
        with pytest.raises(Unavailable, match="Acme does not answer"):
            await provider.authorization_url(REDIRECT, state="s", nonce="n", verifier=VERIFIER)


@pytest.mark.parametrize("issuer", ["http://far.test", "ftp://x.test", "acme", "https://"])
def test_an_issuer_is_asked_over_tls(issuer: str) -> None:
    """Only this machine's own may be asked in clear."""
    with pytest.raises(ValidationError):
        configured(issuer)

"""The keys that an issuer publishes: bounded, refreshed beside the work, believed for a time that one place says."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.auth import jwks
from gateway.auth.auth import Authenticator
from gateway.auth.bounded_get import MOST_BYTES
from gateway.auth.jwks import AWAY_SECONDS, BELIEVED_SECONDS, MOST_KEYS, REFRESH_SECONDS, KeySet
from store.errors import Unauthenticated, Unavailable
from tests.realtime.feed.watcher import eventually
from tests.stack import Services
from tests.support.servers.web import serve_in_thread
from tests.tenants import Tenant

SIGNER = ec.generate_private_key(ec.SECP256R1())


def published(kid: str, **changes: Any) -> dict[str, Any]:
    """Publish the signer's key under this id."""
    return {**ECAlgorithm.to_jwk(SIGNER.public_key(), as_dict=True), "kid": kid, "alg": "ES256", **changes}


def rsa_of(bits: int) -> dict[str, Any]:
    """Publish an RSA key of so many bits."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key()
    return {**RSAAlgorithm.to_jwk(key, as_dict=True), "kid": "odd", "alg": "RS256"}


class Clock:
    """A clock that a test sets."""

    now = 1_000_000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class Issuer:
    """An endpoint that answers what a test says, or drips."""

    def __init__(self) -> None:
        self.body = orjson.dumps({"keys": [published("known")]})
        self.headers: dict[str, str] = {}
        self.status = 200
        self.drips = False
        self.asked = 0

    async def publish(self, _request: Request) -> Response:
        """Answer."""
        self.asked += 1
        if self.drips:
            return StreamingResponse(self._drops())
        return Response(self.body, self.status, self.headers)

    async def _drops(self) -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)


@pytest.fixture
def clock() -> Clock:
    """A clock of the key set's own."""
    return Clock()


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Issuer, str]]:
    """Run an issuer, for whom nobody waits long."""
    monkeypatch.setattr(jwks, "FETCH_SECONDS", 0.5)
    monkeypatch.setattr(jwks, "PATIENCE_SECONDS", 0.1)
    issuer = Issuer()
    with serve_in_thread(Starlette(routes=[Route("/jwks", issuer.publish)])) as url:
        yield issuer, f"{url}/jwks"


async def test_known_keys_serve_while_the_issuer_drips(issuer: tuple[Issuer, str], clock: Clock) -> None:
    """An answer that comes a byte at a time ends at a total deadline, and holds nobody up whose key is known."""
    keys = KeySet(issuer[1], clock=clock)
    assert await keys.find("known")
    issuer[0].drips = True
    clock.now += REFRESH_SECONDS + 1
    assert await keys.find("known")
    assert keys._refreshing is not None
    with pytest.raises(Unavailable):
        await keys.find("new")
    await eventually(lambda: keys._refreshing is None)
    assert issuer[0].asked == 2


async def test_an_old_set_serves_when_the_issuer_is_away_but_not_for_ever(
    issuer: tuple[Issuer, str], clock: Clock
) -> None:
    """Nothing that it verifies is remembered meanwhile."""
    keys = KeySet(issuer[1], clock=clock)
    assert await keys.find("known")
    issuer[0].status = 503
    clock.now += BELIEVED_SECONDS + 1
    assert await keys.find("known")
    assert keys.believed_seconds == 0
    clock.now += AWAY_SECONDS
    with pytest.raises(Unavailable):
        await keys.find("known")


async def test_many_who_ask_share_one_fetch(issuer: tuple[Issuer, str], clock: Clock) -> None:
    """Also those who ask for keys that nobody publishes, and those after them for a while."""
    keys = KeySet(issuer[1], clock=clock)
    found = await asyncio.gather(*(keys.find("known" if n % 2 else f"made-up-{n}") for n in range(40)))
    assert [key is not None for key in found] == [bool(n % 2) for n in range(40)]
    assert (await keys.find("another"), issuer[0].asked) == (None, 1)


NO_SETS: dict[str, bytes] = {
    "no JSON": b"<html>",
    "no object": b"[]",
    "no keys": b"{}",
    "keys that are no list": b'{"keys": {"a": 1}}',
    "null": b'{"keys": null}',
    "a deep one": b"[" * 100_000,
    "too many keys": orjson.dumps({"keys": [published(f"{n}") for n in range(MOST_KEYS + 1)]}),
    "too many bytes": b" " * MOST_BYTES + b'{"keys": []}',
}


@pytest.mark.parametrize("body", NO_SETS.values(), ids=NO_SETS.keys())
async def test_an_answer_that_is_no_key_set_is_as_none(issuer: tuple[Issuer, str], clock: Clock, body: bytes) -> None:
    """503 when there are no keys yet; those that are known go on to serve."""
    good, issuer[0].body = issuer[0].body, body
    keys = KeySet(issuer[1], clock=clock)
    with pytest.raises(Unavailable):
        await keys.find("known")
    issuer[0].body = good
    clock.now += 100
    assert await keys.find("known")
    issuer[0].body = body
    clock.now += REFRESH_SECONDS + 1
    assert await keys.find("known")
    await eventually(lambda: keys._refreshing is None)
    assert await keys.find("known")


async def test_what_unpacks_to_more_is_not_unpacked(issuer: tuple[Issuer, str], clock: Clock) -> None:
    """100 MB of spaces are 100 KB on the wire, and stay that."""
    issuer[0].body, issuer[0].headers = gzip.compress(b" " * 100_000_000), {"content-encoding": "gzip"}
    with pytest.raises(Unavailable):
        await KeySet(issuer[1], clock=clock).find("known")


ODD: dict[str, Any] = {
    "nothing": None,
    "a text": "key",
    "no id": {key: value for key, value in published("odd").items() if key != "kid"},
    "an id that is none": published("odd") | {"kid": 7},
    "no curve": published("odd") | {"crv": "P-999"},
    "a point off its curve": published("odd") | {"x": "AAAA"},
    "an algorithm that is none": published("odd") | {"alg": 1},
    "another kind": {"kid": "odd", "kty": "HUH"},
    "a secret": {"kid": "odd", "kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
    "a private one": ECAlgorithm.to_jwk(SIGNER, as_dict=True) | {"kid": "odd"},
    "for encryption": published("odd", use="enc"),
    "for wrapping": published("odd", key_ops=["wrapKey"]),
    "1024 bits": rsa_of(1024),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
async def test_one_odd_key_costs_itself(issuer: tuple[Issuer, str], clock: Clock, odd: Any) -> None:
    """The others of the set verify, whichever stands first."""
    for listed in ([odd, published("known")], [published("known"), odd]):
        issuer[0].body = orjson.dumps({"keys": listed})
        keys = KeySet(issuer[1], clock=clock)
        assert (await keys.find("known") is not None, await keys.find("odd")) == (True, None)


def test_2048_bits_verify() -> None:
    """Or the limit would prove nothing."""
    assert jwks._key_in(rsa_of(2048)) is not None


async def test_a_withdrawn_key_is_believed_for_a_minute_at_most(
    services: Services, tenant: Tenant, issuer: tuple[Issuer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the set and by the cache of tokens together, whenever a token was verified last."""
    monkeypatch.setattr(jwks, "PATIENCE_SECONDS", 10.0)
    auth = Authenticator(services.settings(jwt_jwks_url=issuer[1]))
    clock = Clock()
    assert auth._keys is not None
    monkeypatch.setattr(auth._keys, "_clock", clock)
    monkeypatch.setattr(auth._lately, "_clock", clock)
    claims = {**tenant.claims, "exp": int(time.time()) + 3600}
    token = jwt.encode(claims, SIGNER, algorithm="ES256", headers={"kid": "known"})
    clock.now = time.time()
    assert await auth.verify(token)
    issuer[0].body = b'{"keys": []}'
    withdrawn = clock.now
    while clock.now < withdrawn + BELIEVED_SECONDS - 1:
        clock.now += 7
        try:
            await auth.verify(token)
        except Unauthenticated:
            break
        await eventually(lambda: auth._keys is not None and auth._keys._refreshing is None)
    clock.now = withdrawn + BELIEVED_SECONDS
    with pytest.raises(Unauthenticated, match="key in force"):
        await auth.verify(token)


async def test_a_withdrawn_key_is_not_believed_after_a_pause(
    services: Services, tenant: Tenant, issuer: tuple[Issuer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that nobody asked for minutes asks the issuer before it believes an old set."""
    monkeypatch.setattr(jwks, "PATIENCE_SECONDS", 10.0)
    auth = Authenticator(services.settings(jwt_jwks_url=issuer[1]))
    clock = Clock()
    assert auth._keys is not None
    monkeypatch.setattr(auth._keys, "_clock", clock)
    monkeypatch.setattr(auth._lately, "_clock", clock)
    claims = {**tenant.claims, "exp": int(time.time()) + 3600}
    token = jwt.encode(claims, SIGNER, algorithm="ES256", headers={"kid": "known"})
    assert await auth.verify(token)
    issuer[0].body = b'{"keys": []}'
    clock.now += 342
    with pytest.raises(Unauthenticated, match="key in force"):
        await auth.verify(token)

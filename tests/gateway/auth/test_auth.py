"""Who gets in: every key in force, and nobody else."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.auth.auth import Authenticator
from store.errors import Unauthenticated, Unavailable
from tests.stack import JWT_SECRET, Services
from tests.support.servers.web import serve_in_thread
from tests.tenants import Admin, Tenant, make_member

OLD_SECRET = "the-secret-before-the-rotation-32-bytes"


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    """An issuer's key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def ec_key() -> ec.EllipticCurvePrivateKey:
    """Another of its keys, on a curve."""
    return ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """A JWKS endpoint over HTTP that counts how often it is asked."""

    def __init__(self, keys: list[dict[str, Any]]) -> None:
        self.keys = keys
        self.asked = 0
        self.broken = False

    async def publish(self, _request: Request) -> Response:
        """Answer the key set, or 500 while broken."""
        self.asked += 1
        return Response(status_code=500) if self.broken else JSONResponse({"keys": self.keys})


@pytest.fixture
async def issuer(rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey) -> AsyncIterator[tuple[Issuer, str]]:
    """A running issuer that publishes both keys, and its address."""
    keys = [
        {**RSAAlgorithm.to_jwk(rsa_key.public_key(), as_dict=True), "kid": "rsa", "alg": "RS256"},
        {**ECAlgorithm.to_jwk(ec_key.public_key(), as_dict=True), "kid": "ec", "alg": "ES256"},
    ]
    issuer = Issuer(keys)
    with serve_in_thread(Starlette(routes=[Route("/jwks", issuer.publish)])) as url:
        yield issuer, f"{url}/jwks"


def _claims(tenant: Tenant, **changes: Any) -> dict[str, Any]:
    return {**tenant.claims, "exp": int(time.time()) + 60, **changes}


async def test_a_valid_token_tells_user_tenant_and_role(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """`/v1/me` answers with what the token says and what is set for the tenant."""
    answer = await client.get("/v1/me", headers=tenant.headers)
    assert answer.status_code == 200
    me = answer.json()
    assert (me["user_id"], me["tenant"]["id"], me["role"]) == (str(tenant.user_id), str(tenant.id), "owner")
    assert me["flags"]["visits"]["enabled"] is True


async def test_several_secrets_are_in_force_at_once(services: Services, tenant: Tenant) -> None:
    """During a rotation tokens of the old and of the new secret both hold."""
    auth = Authenticator(services.settings(jwt_secrets=f"{JWT_SECRET},{OLD_SECRET}"))
    for secret in (JWT_SECRET, OLD_SECRET):
        assert (await auth.verify(tenant.token(secret=secret))).tenant_id == tenant.id
    only_new = Authenticator(services.settings())
    with pytest.raises(Unauthenticated, match="key in force"):
        await only_new.verify(tenant.token(secret=OLD_SECRET))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"exp": None},
        {"aud": "somebody-else"},
        {"sub": "not-a-uuid"},
        {"sub": None},
        {"app_metadata": None},
        {"app_metadata": {"tenant_id": "' OR 1=1"}},
        {"app_metadata": {"tenant_id": 7}},
        {"app_metadata": []},
        {"nbf": 9_999_999_999},
    ],
)
async def test_a_token_with_a_bad_claim_is_refused(
    client: httpx.AsyncClient, tenant: Tenant, changes: dict[str, Any]
) -> None:
    """Expired, foreign audience, no user, no tenant, not yet valid: 401 as problem+json, never 500."""
    claims = {name: value for name, value in _claims(tenant, **changes).items() if value is not None}
    token = jwt.encode(claims, JWT_SECRET, algorithm="HS256") if claims.get("sub", "") is not None else ""
    answer = await client.get("/v1/me", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é" * 9, "." * 4000])
async def test_what_is_no_token_is_refused(client: httpx.AsyncClient, token: str) -> None:
    """Rubbish in the header is a 401 too."""
    answer = await client.get("/v1/me", headers=[(b"authorization", f"Bearer {token}".encode())])
    assert answer.status_code == 401


async def test_the_algorithm_is_not_the_tokens_to_choose(
    services: Services, tenant: Tenant, issuer: tuple[Issuer, str], rsa_key: rsa.RSAPrivateKey
) -> None:
    """`none`, and HS256 signed with a published public key, are the classic forgeries."""
    auth = Authenticator(services.settings(jwt_jwks_url=issuer[1]))
    unsigned = jwt.encode(_claims(tenant), "", algorithm="none", headers={"kid": "rsa"})
    with pytest.raises(Unauthenticated):
        await auth.verify(unsigned)
    crossed = jwt.encode(_claims(tenant), rsa_key, algorithm="RS256", headers={"kid": "ec"})
    with pytest.raises(Unauthenticated):
        await auth.verify(crossed)


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "RS256"), ("ec", "ES256")])
async def test_asymmetric_tokens_hold_by_the_published_keys(
    services: Services,
    tenant: Tenant,
    issuer: tuple[Issuer, str],
    request: pytest.FixtureRequest,
    kid: str,
    algorithm: str,
) -> None:
    """RS256 and ES256 beside HS256; the set is fetched once and kept while the issuer is down."""
    auth = Authenticator(services.settings(jwt_jwks_url=issuer[1], jwt_issuer="https://issuer.example"))
    key = request.getfixturevalue(f"{kid}_key")
    claims = _claims(tenant, iss="https://issuer.example")
    token = jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})
    assert (await auth.verify(token)).user_id == tenant.user_id
    issuer[0].broken = True
    assert (await auth.verify(token)).user_id == tenant.user_id
    assert issuer[0].asked == 1
    foreign = jwt.encode(_claims(tenant, iss="https://else.example"), key, algorithm=algorithm, headers={"kid": kid})
    with pytest.raises(Unauthenticated):
        await auth.verify(foreign)


async def test_made_up_key_ids_do_not_flood_the_issuer(
    services: Services, tenant: Tenant, issuer: tuple[Issuer, str], rsa_key: rsa.RSAPrivateKey
) -> None:
    """An unknown `kid` refreshes the set at most once in ten seconds."""
    auth = Authenticator(services.settings(jwt_jwks_url=issuer[1]))
    for number in range(20):
        token = jwt.encode(_claims(tenant), rsa_key, algorithm="RS256", headers={"kid": f"made-up-{number}"})
        with pytest.raises(Unauthenticated):
            await auth.verify(token)
    assert issuer[0].asked == 1


async def test_an_absent_issuer_is_ours_to_apologise_for(
    services: Services, tenant: Tenant, issuer: tuple[Issuer, str], rsa_key: rsa.RSAPrivateKey
) -> None:
    """Without any key set the answer is 503, not 401: the caller's token may well be good."""
    issuer[0].broken = True
    auth = Authenticator(services.settings(jwt_jwks_url=issuer[1]))
    token = jwt.encode(_claims(tenant), rsa_key, algorithm="RS256", headers={"kid": "rsa"})
    with pytest.raises(Unavailable):
        await auth.verify(token)


@pytest.mark.parametrize("role", ["owner", "service_role", None, 1, ["owner"]])
async def test_a_role_in_the_token_gives_nothing(
    client: httpx.AsyncClient, admin: Admin, tenant: Tenant, role: Any
) -> None:
    """What a user may do is the membership row; a token that claims more is still a member's."""
    member = await make_member(admin, tenant, "member")
    token = member.token(app_metadata={"tenant_id": str(tenant.id), "role": role})
    answer = await client.get("/v1/me", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["role"]) == (200, "member")


@pytest.mark.parametrize(
    "changes",
    [
        {"user_metadata": {"full_name": "a\0b"}},
        {"user_metadata": {"full_name": "\ud800", "size": 2**70}},
        {"user_metadata": {"deep": json.loads("[" * 300 + "]" * 300)}},
        {"exp": 10**30},
        {"role": "service_role"},
    ],
)
async def test_only_what_policies_read_reaches_the_database(
    client: httpx.AsyncClient, tenant: Tenant, changes: dict[str, Any]
) -> None:
    """Whatever else a true token holds, its user's own words too, neither breaks a query nor changes its rights."""
    token = jwt.encode(_claims(tenant, **changes), JWT_SECRET, algorithm="HS256")
    answer = await client.get("/v1/me", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["tenant"]["id"]) == (200, str(tenant.id))


async def test_a_token_is_good_for_no_longer_than_clocks_differ(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """A few seconds past its end it may still be a clock that is wrong; half a minute past it, it is over."""
    for past, status in ((1, 200), (30, 401)):
        claims = _claims(tenant, iat=int(time.time()) - 3600, exp=int(time.time()) - past)
        token = jwt.encode(claims, JWT_SECRET, algorithm="HS256")
        assert (await client.get("/v1/me", headers={"authorization": f"Bearer {token}"})).status_code == status


async def test_a_tenant_id_of_another_form_is_the_same(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """The database gets ids in its own form, however the issuer writes them."""
    claims = _claims(tenant, sub=tenant.user_id.urn, app_metadata={"tenant_id": tenant.id.urn})
    token = jwt.encode(claims, JWT_SECRET, algorithm="HS256")
    answer = await client.get("/v1/me", headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["tenant"]["id"]) == (200, str(tenant.id))


async def test_a_cookie_alone_changes_nothing_from_another_site(client: httpx.AsyncClient, tenant: Tenant) -> None:
    """The session cookie reads anywhere, but a change needs this site's own Origin."""
    cookie = {"cookie": f"scopekit_session={tenant.session}", "host": "127.0.0.1:8000"}
    assert (await client.get("/v1/me", headers=cookie)).status_code == 200
    foreign = (
        "https://evil.example",
        "null",
        "http://[::1",
        "http://127.0.0.1:8000.evil.example",
        "ftp://127.0.0.1:8000",
    )
    for origin in ({}, *({"origin": one} for one in foreign)):
        answer = await client.post("/v1/visits", json={"title": "x"}, headers={**cookie, **origin})
        assert answer.status_code == 403
    own = {**cookie, "origin": "http://127.0.0.1:8000"}
    assert (await client.post("/v1/visits", json={"title": "x"}, headers=own)).status_code == 201


async def test_the_demo_login_is_closed_anywhere_but_at_home(client: httpx.AsyncClient) -> None:
    """ENVIRONMENT is `test` here, so there is no such door."""
    assert (await client.post("/demo/login")).status_code == 404


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("seconds", ["1e400", "-1e400", "1" + "0" * 400, '"soon"', "[]"])
async def test_a_time_beyond_any_date_is_refused(
    client: httpx.AsyncClient, tenant: Tenant, claim: str, seconds: str
) -> None:
    """A signed token with `exp` of 10^400 is answered with 401, not 500."""
    claims = jwt.decode(tenant.token(), options={"verify_signature": False}) | {claim: "TIME"}
    payload = json.dumps(claims).replace('"TIME"', seconds).encode()
    token = jwt.PyJWS().encode(payload, JWT_SECRET, algorithm="HS256")
    answer = await client.get("/v1/visits", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 401

"""An OpenID Connect provider: its endpoints by discovery, the exchange of a code, and its answers checked.

OpenID Connect Core 1.0, Discovery 1.0 and RP-Initiated Logout 1.0; PKCE by RFC 7636; `iss` of a response by RFC 9207.
Authlib speaks OAuth; the keys are bounded and kept as those of our tokens are.
"""

import asyncio
import hmac
import math
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt
import orjson
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from pydantic import BaseModel, ValidationError

from config.logging import get_logger
from config.oidc_issuer import OidcIssuer, is_safe
from gateway.auth.bounded_get import FETCH_ERRORS, bounded_get
from gateway.auth.jwks import KeySet
from gateway.auth.providers.identity import Identity, ProviderRefused
from store.errors import Unavailable

_log = get_logger(__name__)

METADATA_SECONDS = 3600.0
# A failed discovery is not repeated for each person who presses the button.
RETRY_SECONDS = 5.0
EXCHANGE_SECONDS = 10.0
LEEWAY_SECONDS = 5
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA")
_WELL_KNOWN = "/.well-known/openid-configuration"
_AUTHENTICATION = ("client_secret_basic", "client_secret_post")


class _Metadata(BaseModel):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]


class OidcProvider:
    """One issuer, as it is configured; discovery is asked once an hour."""

    def __init__(self, configured: OidcIssuer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.configured = configured
        self._clock = clock
        self._metadata: _Metadata | None = None
        self._keys: KeySet | None = None
        self._asked = -math.inf
        self._asking = asyncio.Lock()

    async def authorization_url(self, redirect_uri: str, *, state: str, nonce: str, verifier: str) -> str:
        """Return the address to send the browser to. Raises `Unavailable`, `ProviderRefused`."""
        metadata = await self._discovered()
        async with self._client(metadata, redirect_uri) as client:
            url, _ = client.create_authorization_url(
                metadata.authorization_endpoint, state=state, nonce=nonce, code_verifier=verifier
            )
        return str(url)

    async def identity(self, answer: Mapping[str, str], redirect_uri: str, *, nonce: str, verifier: str) -> Identity:
        """Exchange the code of a response, whose `state` the caller has compared, and return the person.

        Raises `Unavailable` when the provider does not answer, `ProviderRefused` for everything that does not hold.
        """
        metadata = await self._discovered()
        if answer.get("iss", metadata.issuer) != metadata.issuer:
            raise ProviderRefused("The answer came from another issuer.")
        if "error" in answer or not answer.get("code"):
            raise ProviderRefused(_REFUSALS.get(answer.get("error", ""), "The provider did not sign you in."))
        tokens = await self._exchange(metadata, answer["code"], redirect_uri, verifier)
        claims = await self._verified(metadata, str(tokens.get("id_token", "")), nonce)
        if "email" not in claims and metadata.userinfo_endpoint and tokens.get("access_token"):
            claims |= await self._user_info(metadata.userinfo_endpoint, str(tokens["access_token"]), claims["sub"])
        return self._identity(claims)

    async def end_session_url(self, back: str) -> str | None:
        """Return the address that signs the browser out at the provider, None where it has none."""
        try:
            endpoint = (await self._discovered()).end_session_endpoint
        except (Unavailable, ProviderRefused):
            return None
        query = urlencode({"client_id": self.configured.client_id, "post_logout_redirect_uri": back})
        return None if endpoint is None else f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

    async def _discovered(self) -> _Metadata:
        async with self._asking:
            age = self._clock() - self._asked
            if self._metadata is None and age < RETRY_SECONDS:
                raise self._away()
            if self._metadata is None or age > METADATA_SECONDS:
                self._asked = self._clock()
                await self._discover()
            if self._metadata is None:
                raise self._away()
            return self._metadata

    async def _discover(self) -> None:
        """Ask for the metadata; the copy from before serves on when the provider does not answer."""
        issuer = self.configured.issuer
        try:
            found = _Metadata.model_validate_json(await bounded_get(issuer.rstrip("/") + _WELL_KNOWN))
        except (*FETCH_ERRORS, ValidationError) as error:
            _log.warning("An OpenID Connect issuer does not answer", issuer=issuer, error=type(error).__name__)
            return
        endpoints = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri)
        if found.issuer != issuer or not all(map(is_safe, endpoints)):
            _log.error("An OpenID Connect issuer is not who it should be", issuer=issuer, found=found.issuer)
            raise ProviderRefused(f"{self.configured.label} is not set up correctly here. Tell your administrator.")
        if self._keys is None or self._metadata is None or self._metadata.jwks_uri != found.jwks_uri:
            self._keys = KeySet(found.jwks_uri)
        self._metadata = found

    def _client(self, metadata: _Metadata, redirect_uri: str) -> AsyncOAuth2Client:
        secret = self.configured.client_secret
        offered = metadata.token_endpoint_auth_methods_supported
        method = next((each for each in _AUTHENTICATION if each in offered), _AUTHENTICATION[0])
        return AsyncOAuth2Client(
            self.configured.client_id,
            None if secret is None else secret.get_secret_value(),
            token_endpoint_auth_method="none" if secret is None else method,
            scope=self.configured.scope,
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=EXCHANGE_SECONDS,
            trust_env=False,
        )

    async def _exchange(self, metadata: _Metadata, code: str, redirect_uri: str, verifier: str) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(EXCHANGE_SECONDS), self._client(metadata, redirect_uri) as client:
                tokens: Mapping[str, Any] = await client.fetch_token(
                    metadata.token_endpoint, code=code, code_verifier=verifier
                )
        except AuthlibBaseError as error:
            _log.warning("A code was refused", issuer=metadata.issuer, error=error.error)
            raise ProviderRefused("The provider did not accept this sign-in. Try again.") from None
        except (TimeoutError, httpx.HTTPError, ValueError) as error:
            _log.warning("A code could not be exchanged", issuer=metadata.issuer, error=type(error).__name__)
            raise self._away() from None
        return tokens

    async def _verified(self, metadata: _Metadata, token: str, nonce: str) -> dict[str, Any]:
        """Return the claims of an ID token, checked as OpenID Connect Core 3.1.3.7 asks."""
        try:
            header = jwt.get_unverified_header(token)
            algorithm, kid = header.get("alg"), header.get("kid")
            key = await self._keys.find(kid) if self._keys is not None and isinstance(kid, str) else None
            if key is None or algorithm not in ALGORITHMS:
                raise jwt.InvalidKeyError
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self.configured.client_id,
                issuer=metadata.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "aud", "iss"]},
            )
        except (jwt.PyJWTError, OverflowError, ValueError) as error:
            _log.warning("An ID token does not hold", issuer=metadata.issuer, error=type(error).__name__)
            raise ProviderRefused("The provider's answer does not hold. Try again.") from None
        shared = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        ours = not shared or claims.get("azp") == self.configured.client_id
        if not ours or not hmac.compare_digest(str(claims.get("nonce", "")), nonce):
            raise ProviderRefused("The provider's answer is not for this sign-in. Try again.")
        return claims

    async def _user_info(self, endpoint: str, access_token: str, subject: str) -> dict[str, Any]:
        """Read the claims that the provider keeps out of its tokens; a failure costs only these."""
        try:
            told = orjson.loads(await bounded_get(endpoint, {"authorization": f"Bearer {access_token}"}))
        except FETCH_ERRORS as error:
            _log.warning("User info could not be read", issuer=self.configured.issuer, error=type(error).__name__)
            return {}
        # Core 5.3.2: of another subject it must not be used.
        return told if isinstance(told, dict) and told.get("sub") == subject else {}

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        email, name = claims.get("email"), claims.get("name")
        verified = claims.get("email_verified") is True or (
            self.configured.trust_email and "email_verified" not in claims
        )
        return Identity(
            self.configured.issuer,
            str(claims["sub"]),
            email if verified and isinstance(email, str) else None,
            name if isinstance(name, str) else "",
        )

    def _away(self) -> Unavailable:
        return Unavailable(f"{self.configured.label} does not answer at the moment. Try again, or sign in another way.")


_REFUSALS = {
    "access_denied": "You cancelled the sign-in, or the provider did not allow it.",
    "login_required": "The provider asks you to sign in there first. Try again.",
    "temporarily_unavailable": "The provider is busy. Try again in a moment.",
}

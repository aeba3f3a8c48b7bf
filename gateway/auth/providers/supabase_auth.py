"""Supabase Auth by its REST: passwords, e-mailed codes, social sign-in with PKCE, and invitations.

The addresses and bodies are those of its own client, auth-js, with API version 2024-01-01. Of a session that Supabase
begins only the person is kept: ours takes its place, and theirs is ended, so that no refresh token rests here.
"""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
from pydantic import BaseModel, ValidationError

from config.logging import get_logger
from gateway.auth.providers.identity import Identity, ProviderRefused
from store.errors import TooMany, Unavailable

_log = get_logger(__name__)

SECONDS = 10.0
MOST_BYTES = 256 * 1024
_VERSION = {"x-supabase-api-version": "2024-01-01"}
_SIGN_OUT_SECONDS = 3.0
# Supabase's error codes, in our words; of those that would tell who has an account all read the same.
_WRONG = "The email address or the password is wrong."
_REFUSALS = {
    "invalid_credentials": _WRONG,
    "invalid_grant": _WRONG,
    "user_not_found": _WRONG,
    "user_banned": "This account is blocked. Ask your administrator.",
    "email_not_confirmed": "Confirm your email address first: open the link in the mail from when you signed up.",
    "otp_expired": "The code is wrong or has expired. Ask for a new one.",
    "bad_code_verifier": "This sign-in was begun in another browser. Try again.",
    "flow_state_expired": "This sign-in took too long. Try again.",
    "flow_state_not_found": "This sign-in took too long. Try again.",
    "email_exists": "There is an account with this email address already.",
    "captcha_failed": "This project asks for a captcha, which this page does not show. Sign in another way.",
}


class _User(BaseModel):
    id: str
    email: str = ""
    email_confirmed_at: str | None = None
    is_anonymous: bool = False
    user_metadata: dict[str, Any] = {}


class _Session(BaseModel):
    access_token: str
    user: _User


class SupabaseAuth:
    """One project: `url` without `/auth/v1`, `anon_key` as its clients have it, `service_key` for invitations."""

    def __init__(self, url: str, anon_key: str, service_key: str | None = None) -> None:
        self.issuer = f"{url.rstrip('/')}/auth/v1"
        self._anon_key = anon_key
        self._service_key = service_key

    async def with_password(self, email: str, password: str) -> Identity:
        """Return the person. Raises `ProviderRefused`, `TooMany`, `Unavailable`, as all below do."""
        return await self._begun("/token?grant_type=password", {"email": email, "password": password})

    async def send_code(self, email: str) -> None:
        """Have a code mailed, if there is such an account: nobody learns whether there is."""
        try:
            await self._post("/otp", {"email": email, "create_user": False, "data": {}})
        except ProviderRefused as refused:
            _log.info("A code was not sent", reason=str(refused))

    async def with_code(self, email: str, code: str) -> Identity:
        """Return the person with this mailed code."""
        return await self._begun("/verify", {"type": "email", "email": email, "token": code})

    def authorization_url(self, provider: str, redirect_to: str, verifier: str) -> str:
        """Return the address to send the browser to for a social sign-in; it comes back with `code`."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {"provider": provider, "redirect_to": redirect_to}
        pkce = {"code_challenge": challenge, "code_challenge_method": "s256"}
        return f"{self.issuer}/authorize?{urlencode(query | pkce)}"

    async def with_social(self, answer: Mapping[str, str], verifier: str) -> Identity:
        """Exchange the code that a social sign-in came back with."""
        if "error" in answer or not answer.get("code"):
            code = answer.get("error_code") or answer.get("error", "")
            raise ProviderRefused(_REFUSALS.get(code, "The provider did not sign you in."))
        return await self._begun("/token?grant_type=pkce", {"auth_code": answer["code"], "code_verifier": verifier})

    async def identity_of(self, access_token: str) -> Identity | None:
        """Return the person of a token of theirs, None when its session there is over. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(SECONDS), self._client(access_token) as client:
                answer = await client.get(f"{self.issuer}/user")
        except (TimeoutError, httpx.HTTPError) as error:
            _log.warning("Supabase Auth does not answer", error=type(error).__name__)
            raise self._away() from None
        if answer.is_server_error:
            raise self._away()
        try:
            return self._identity(_User.model_validate_json(answer.content)) if answer.is_success else None
        except ValidationError:
            raise self._away() from None

    async def invite(self, email: str, redirect_to: str) -> None:
        """Have Supabase mail an invitation, and make the account."""
        if self._service_key is None:
            raise ProviderRefused("Invitations by Supabase need SUPABASE_SERVICE_ROLE_KEY.")
        query = urlencode({"redirect_to": redirect_to})
        await self._post(f"/invite?{query}", {"email": email, "data": {}}, key=self._service_key)

    async def _begun(self, path: str, body: Mapping[str, Any]) -> Identity:
        """Begin a session there, keep the person, and end it."""
        answer = await self._post(path, body)
        try:
            session = _Session.model_validate_json(answer)
        except ValidationError:
            raise self._away() from None
        await self._sign_out(session.access_token)
        if session.user.is_anonymous:
            raise ProviderRefused("Anonymous accounts cannot sign in here.")
        return self._identity(session.user)

    def _identity(self, user: _User) -> Identity:
        name = user.user_metadata.get("full_name") or user.user_metadata.get("name")
        email = user.email if user.email and user.email_confirmed_at else None
        return Identity(self.issuer, user.id, email, name if isinstance(name, str) else "")

    async def _sign_out(self, access_token: str) -> None:
        """End the session there; when that fails it expires by itself, and nobody holds its tokens."""
        try:
            async with asyncio.timeout(_SIGN_OUT_SECONDS), self._client(access_token) as client:
                await client.post(f"{self.issuer}/logout?scope=local")
        except (TimeoutError, httpx.HTTPError) as error:
            _log.info("A session at Supabase was not ended", error=type(error).__name__)

    async def _post(self, path: str, body: Mapping[str, Any], *, key: str | None = None) -> bytes:
        try:
            async with (
                asyncio.timeout(SECONDS),
                self._client(key or self._anon_key) as client,
                client.stream("POST", self.issuer + path, content=orjson.dumps(body)) as response,
            ):
                answer = bytearray()
                async for piece in response.aiter_bytes():
                    answer += piece
                    if len(answer) > MOST_BYTES:
                        raise self._away()
        except (TimeoutError, httpx.HTTPError) as error:
            _log.warning("Supabase Auth does not answer", error=type(error).__name__)
            raise self._away() from None
        if response.is_success:
            return bytes(answer)
        raise self._error(response, bytes(answer))

    def _error(self, response: httpx.Response, answer: bytes) -> Exception:
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            after = response.headers.get("retry-after", "")
            return TooMany("Too many tries. Wait a minute.", retry_after=int(after) if after.isdecimal() else 60)
        code = _code_of(answer)
        if code not in _REFUSALS and (response.is_server_error or response.status_code in (401, 403, 404)):
            _log.error("Supabase Auth refused us", status=response.status_code, code=code)
            return self._away()
        _log.info("Supabase Auth refused a sign-in", status=response.status_code, code=code)
        return ProviderRefused(_REFUSALS.get(code, "Supabase did not accept this sign-in. Try again."))

    def _client(self, token: str) -> httpx.AsyncClient:
        headers = {"apikey": self._anon_key, "authorization": f"Bearer {token}", "content-type": "application/json"}
        return httpx.AsyncClient(timeout=SECONDS, headers=headers | _VERSION, trust_env=False)

    def _away(self) -> Unavailable:
        return Unavailable("Sign-in does not answer at the moment. Try again, or sign in another way.")


def _code_of(answer: bytes) -> str:
    try:
        told = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return ""
    codes = [told.get(name) for name in ("error_code", "code", "error")] if isinstance(told, dict) else []
    return next((code for code in codes if isinstance(code, str)), "")

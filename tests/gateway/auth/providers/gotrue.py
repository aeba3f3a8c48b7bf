"""A double of Supabase Auth: its REST as the documents and its own client have it, errors included."""

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import jwt
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.product import free_port

ANON, SERVICE = "anon-key-of-the-test", "service-key-of-the-test"
CODE = "123456"


@dataclass
class Account:
    """A user of the project."""

    email: str
    password: str = ""
    confirmed: bool = True
    id: str = field(default_factory=lambda: str(uuid4()))

    @property
    def public(self) -> dict[str, Any]:
        """As its answers show a user."""
        at = "2026-01-01T00:00:00Z" if self.confirmed else None
        return {
            "id": self.id,
            "aud": "authenticated",
            "role": "authenticated",
            "email": self.email,
            "email_confirmed_at": at,
            "app_metadata": {"provider": "email"},
            "identities": [],
            "user_metadata": {"full_name": self.email.split("@")[0].title()},
            "is_anonymous": False,
        }


class GoTrue:
    """The project's users and sessions; `jwt_secret` signs its tokens, `down` answers everything with 503."""

    def __init__(self, jwt_secret: str) -> None:
        self.accounts: dict[str, Account] = {}
        self.sessions: dict[str, Account] = {}
        self.mailed: list[str] = []
        self.invited: list[tuple[str, str]] = []
        self.flows: dict[str, tuple[str, Account]] = {}
        self.busy = self.down = False
        self.url = ""
        self._secret = jwt_secret

    def add(self, email: str, password: str = "", *, confirmed: bool = True) -> Account:
        """Add a user."""
        account = self.accounts[email] = Account(email, password, confirmed)
        return account

    def session(self, account: Account) -> dict[str, Any]:
        """Begin a session, as every way in there answers."""
        now, session_id = int(time.time()), str(uuid4())
        claims = {
            "iss": f"{self.url}/auth/v1",
            "sub": account.id,
            "aud": "authenticated",
            "role": "authenticated",
            "iat": now,
            "exp": now + 3600,
            "email": account.email,
            "session_id": session_id,
            "app_metadata": {"provider": "email"},
            "user_metadata": {},
        }
        token = jwt.encode(claims, self._secret, algorithm="HS256")
        self.sessions[token] = account
        lives = {"expires_in": 3600, "expires_at": now + 3600}
        refresh = secrets.token_urlsafe(12)
        return {"access_token": token, "token_type": "bearer", "refresh_token": refresh, "user": account.public} | lives

    async def token(self, request: Request) -> Response:
        """POST /token?grant_type=password|pkce."""
        body = await request.json()
        if request.query_params["grant_type"] == "pkce":
            challenge, account = self.flows.pop(body["auth_code"], ("", Account("")))
            given = base64.urlsafe_b64encode(hashlib.sha256(body["code_verifier"].encode()).digest()).rstrip(b"=")
            if challenge != given.decode():
                return refusal(400, "bad_code_verifier")
            return JSONResponse(self.session(account))
        found = self.accounts.get(body["email"])
        if found is None or not found.password or found.password != body["password"]:
            return refusal(400, "invalid_credentials")
        return JSONResponse(self.session(found)) if found.confirmed else refusal(400, "email_not_confirmed")

    async def otp(self, request: Request) -> Response:
        """POST /otp."""
        body = await request.json()
        if body["email"] not in self.accounts:
            return refusal(422, "otp_disabled") if not body["create_user"] else JSONResponse({})
        self.mailed.append(body["email"])
        return JSONResponse({})

    async def verify(self, request: Request) -> Response:
        """POST /verify."""
        body = await request.json()
        if body["token"] != CODE or body["email"] not in self.mailed:
            return refusal(403, "otp_expired")
        self.mailed.remove(body["email"])
        return JSONResponse(self.session(self.accounts[body["email"]]))

    async def authorize(self, request: Request) -> Response:
        """GET /authorize: the social provider signs its first user in at once."""
        query = request.query_params
        code = secrets.token_urlsafe(12)
        self.flows[code] = (query["code_challenge"], next(iter(self.accounts.values())))
        return RedirectResponse(f"{query['redirect_to']}?{urlencode({'code': code})}", 302)

    async def invite(self, request: Request) -> Response:
        """POST /invite, with the service key."""
        if request.headers["authorization"] != f"Bearer {SERVICE}":
            return refusal(403, "not_admin")
        email = (await request.json())["email"]
        self.invited.append((email, request.query_params["redirect_to"]))
        return JSONResponse(self.add(email, confirmed=False).public)

    async def logout(self, request: Request) -> Response:
        """POST /logout."""
        self.sessions.pop(request.headers["authorization"].removeprefix("Bearer "), None)
        return Response(status_code=204)

    async def user(self, request: Request) -> Response:
        """GET /user."""
        found = self.sessions.get(request.headers["authorization"].removeprefix("Bearer "))
        return refusal(403, "session_not_found") if found is None else JSONResponse(found.public)

    def app(self) -> Starlette:
        """The routes, with the key that each asks for."""

        def guarded(endpoint: Any) -> Any:
            async def answer(request: Request) -> Response:
                if self.down:
                    return Response("upstream", 503)
                if self.busy:
                    return JSONResponse({"code": "over_request_rate_limit"}, 429, {"retry-after": "7"})
                if endpoint != self.authorize and request.headers.get("apikey") not in (ANON, SERVICE):
                    return JSONResponse({"message": "No API key found in request"}, 401)
                response: Response = await endpoint(request)
                return response

            return answer

        posts = {"token": self.token, "otp": self.otp, "verify": self.verify, "invite": self.invite}
        posts["logout"] = self.logout
        routes = [Route(f"/auth/v1/{name}", guarded(each), methods=["POST"]) for name, each in posts.items()]
        gets = {"authorize": self.authorize, "user": self.user}
        return Starlette(routes=[*routes, *(Route(f"/auth/v1/{name}", guarded(each)) for name, each in gets.items())])


def refusal(status: int, code: str) -> JSONResponse:
    """Answer an error as API version 2024-01-01 has it."""
    return JSONResponse({"code": code, "message": code}, status, {"x-supabase-api-version": "2024-01-01"})


@asynccontextmanager
async def gotrue(jwt_secret: str) -> AsyncIterator[GoTrue]:
    """Serve a project until the block is left."""
    project, port = GoTrue(jwt_secret), free_port()
    project.url = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(uvicorn.Config(project.app(), port=port, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
    try:
        yield project
    finally:
        server.should_exit = True
        await serving

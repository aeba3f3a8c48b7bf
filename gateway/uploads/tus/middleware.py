"""Shared by all answers of tus: its version, and the refusal of other versions."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.errors import problem
from gateway.uploads.tus.headers import VERSION


class TusMiddleware:
    """Says Tus-Resumable on every answer, errors too, and refuses a request that does not say it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on when it speaks our version."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["tus-resumable"] = VERSION
            await send(message)

        speaks = Headers(scope=scope).get("tus-resumable")
        if scope["method"] == "OPTIONS" or speaks == VERSION:
            await self._app(scope, receive, send_with_headers)
            return
        detail = f"Send Tus-Resumable: {VERSION}."
        refusal = problem(412, detail, code="tus_version_unsupported", headers={"tus-version": VERSION})
        await refusal(scope, receive, send_with_headers)

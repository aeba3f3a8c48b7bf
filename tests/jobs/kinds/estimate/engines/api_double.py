"""A server on loopback that speaks the model provider's API, and misbehaves when told to."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

START_SECONDS = 10.0
ERROR = {"type": "error", "code": "server_error", "message": "sk-secret", "param": None, "sequence_number": 9}
PART = 24  # characters of a streamed answer that come at once
USAGE = {"input_tokens": 1200, "output_tokens": 340, "total_tokens": 1540}


_WRONG_KEY = JSONResponse(
    {"error": {"message": "Incorrect API key provided.", "type": "invalid_request_error", "code": "invalid_api_key"}},
    401,
)


@dataclass
class ApiDouble:
    """What the server answers next, and what it was asked."""

    url: str = ""
    reply: Response | dict[str, Any] | None = None
    # By the name of the schema that is asked for; comes before `reply`.
    answers_by_schema: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: list[str] | None = None
    # The keys it takes; None takes any.
    keys: set[str] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    hangs: bool = False
    # The number of the call that hangs once, and who wants to know when it has come.
    hangs_at: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    drips: bool = False
    # What goes wrong with a streamed answer, and after how many of its parts.
    breaks: Literal["", "cut", "end", "error", "junk"] = ""
    breaks_after: int = 4
    # Set when the server may let go of a hanging request, so that it can stop.
    released: threading.Event = field(default_factory=threading.Event)
    # Set when the caller of a hanging request has gone away, and when that was by the monotonic clock.
    left: threading.Event = field(default_factory=threading.Event)
    left_at: float = 0.0

    def answers(self, reply: Response | dict[str, Any]) -> None:
        """Answer every request like this from now on."""
        self.reply = reply

    def fails(self, status: int, code: str | None = None, headers: dict[str, str] | None = None) -> None:
        """Answer with an error as the provider words it."""
        error = {"message": "Incorrect API key provided: sk-secret", "type": "error", "code": code, "param": None}
        self.reply = JSONResponse({"error": error}, status, headers=headers)

    @property
    def last(self) -> dict[str, Any]:
        """The newest request: {path, headers, json | form}."""
        return self.asked[-1]

    async def list_models(self, request: Request) -> Response:
        """Serve GET /v1/models; 404 where no models are named, as some endpoints do."""
        if not self._takes_key_of(request):
            return _WRONG_KEY
        if self.models is None:
            return Response(status_code=404)
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})

    async def responses(self, request: Request) -> Response:
        """Serve POST /v1/responses."""
        body = await request.json()
        self.asked.append({"path": request.url.path, "headers": request.headers, "json": body})
        return await self._reply(
            request, self.answers_by_schema.get(body["text"]["format"]["name"]), stream=body.get("stream", False)
        )

    async def chat(self, request: Request) -> Response:
        """Serve POST /v1/chat/completions."""
        self.asked.append({"path": request.url.path, "headers": request.headers, "json": await request.json()})
        return await self._reply(request)

    async def transcriptions(self, request: Request) -> Response:
        """Serve POST /v1/audio/transcriptions."""
        async with request.form() as form:
            upload = form["file"]
            assert not isinstance(upload, str)
            plain = {name: form.getlist(name) for name in form if name != "file"}
            file = {"name": upload.filename, "type": upload.content_type, "bytes": await upload.read()}
        self.asked.append({"path": request.url.path, "headers": request.headers, "form": plain, "file": file})
        return await self._reply(request)

    async def _reply(self, request: Request, first: dict[str, Any] | None = None, *, stream: bool = False) -> Response:
        if not self._takes_key_of(request):
            return _WRONG_KEY
        if len(self.asked) == self.hangs_at:
            self.reached.set()
        if self.hangs or len(self.asked) == self.hangs_at:
            await self._hang(request)
        if self.drips:
            return StreamingResponse(self._drip(), media_type="text/event-stream" if stream else "application/json")
        if isinstance(self.reply, Response):
            return self.reply
        headers, answer = {"x-request-id": f"req_{len(self.asked)}"}, first or self.reply
        if stream and answer is not None and answer.get("object") == "response":
            return StreamingResponse(self._stream(answer), media_type="text/event-stream", headers=headers)
        return JSONResponse(answer, headers=headers)

    def _takes_key_of(self, request: Request) -> bool:
        return self.keys is None or request.headers["authorization"].removeprefix("Bearer ") in self.keys

    async def _hang(self, request: Request) -> None:
        """Say nothing until released, or until the caller has had enough."""
        released = asyncio.create_task(asyncio.to_thread(self.released.wait, 30))
        gone = asyncio.ensure_future(request.receive())
        await asyncio.wait({released, gone}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            self.left_at = time.monotonic()
            self.left.set()
        gone.cancel()

    async def _stream(self, answer: dict[str, Any]) -> AsyncIterator[bytes]:
        """Tell an answer event by event, as the provider does, until it `breaks`."""
        for number, event in enumerate(stream_of(answer)):
            if self.breaks and number == self.breaks_after:
                if self.breaks == "cut":
                    raise ConnectionResetError  # the server closes in the middle of a chunked body
                yield {"error": _event(ERROR), "junk": b"data: {broken\n\n", "end": b""}[self.breaks]
                return
            yield _event({"sequence_number": number, **event})

    async def _drip(self) -> AsyncIterator[bytes]:
        """Send a space now and then: never silent, never done."""
        while not self.released.is_set():
            yield b" "
            await asyncio.to_thread(self.released.wait, 0.05)


def completed(answer: Any, **more: Any) -> dict[str, Any]:
    """Wrap an answer as a response object of the Responses API."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "gpt-test-2026",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content},
        ],
        "usage": USAGE,
        "error": None,
        "incomplete_details": None,
        **more,
    }


def stream_of(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Take a response apart into the events of the Responses API, a few characters of its text at a time."""
    begun = {**answer, "status": "in_progress", "output": [], "usage": None, "error": None, "incomplete_details": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(answer["output"]):
        yield {"type": "response.output_item.added", "output_index": index, "item": {**item, "content": []}}
        for part in item.get("content") or ():
            place = {"item_id": item.get("id", "m"), "output_index": index, "content_index": 0}
            noun, text = ("output_text", "text") if part["type"] == "output_text" else ("refusal", "refusal")
            for start in range(0, len(part[text]), PART):
                delta = part[text][start : start + PART]
                yield {"type": f"response.{noun}.delta", **place, "delta": delta, "logprobs": []}
            yield {"type": f"response.{noun}.done", **place, text: part[text], "logprobs": []}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    end = answer["status"] if answer["status"] in {"incomplete", "failed"} else "completed"
    yield {"type": f"response.{end}", "response": answer}


def _event(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


@contextmanager
def api_double() -> Iterator[ApiDouble]:
    """Run the server in a thread on a free port."""
    double = ApiDouble()
    app = Starlette(
        routes=[
            Route("/v1/responses", double.responses, methods=["POST"]),
            Route("/v1/chat/completions", double.chat, methods=["POST"]),
            Route("/v1/models", double.list_models),
            Route("/v1/audio/transcriptions", double.transcriptions, methods=["POST"]),
        ]
    )
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.ready.wait(START_SECONDS), "the API double does not start"
    double.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    try:
        yield double
    finally:
        double.released.set()
        server.should_exit = True
        thread.join(START_SECONDS)


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.ready.set()

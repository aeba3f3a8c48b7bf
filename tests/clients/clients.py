"""Four clients of a stream, each run as its own manual says."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import httpx
from httpx_sse import EventSource, SSEError, aconnect_sse
from playwright.async_api import async_playwright

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.clients.heard import Heard
from tests.tenants import Admin, session_of_token

Token: TypeAlias = Callable[[], str]
# Opens a stream with a URL and a token, which is made when everything else is ready.
Client: TypeAlias = Callable[[str, Token], AbstractAsyncContextManager[Heard]]

BROWSER = """(url) => {
    const source = new EventSource(url);
    source.onmessage = ({ data, lastEventId }) => tell({ type: JSON.parse(data).type, id: lastEventId });
    source.addEventListener("hello", ({ data }) => tell({ hello: JSON.parse(data) }));
    source.addEventListener("end", ({ data }) => tell({ end: JSON.parse(data).reason }));
    source.onerror = () => source.readyState === EventSource.CLOSED && tell({ stopped: null });
}"""


@asynccontextmanager
async def browser(admin: Admin, url: str, token: Token) -> AsyncIterator[Heard]:
    """Chromium's own EventSource, which sends a cookie and does not say with which status it was stopped.

    The cookie is of a session that ends with the token.
    """
    heard = Heard("EventSource")
    origin = str(httpx.URL(url).copy_with(path="/"))
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=list(FLAGS))
        context = await chromium.new_context()
        page = await context.new_page()
        await page.expose_function("tell", heard.tell)
        await page.goto(f"{origin}static/mark.svg")
        # Last: its session may last a few seconds only, and a page takes as long to come on a busy machine.
        await context.add_cookies(
            [{"name": "scopekit_session", "value": await session_of_token(admin, token()), "url": origin}]
        )
        await page.evaluate(BROWSER, url)
        yield heard
        await chromium.close()


def of_npm(script: Path, *more: str) -> Client:
    """One of the scripts beside this file, copied to where its packages are installed; `more` are its arguments."""

    @asynccontextmanager
    async def run(url: str, token: Token) -> AsyncIterator[Heard]:
        heard = Heard(script.stem)
        node = await asyncio.create_subprocess_exec("node", script, url, token(), *more, stdout=asyncio.subprocess.PIPE)
        reading = asyncio.create_task(_read(node, heard))
        try:
            yield heard
        finally:
            with suppress(ProcessLookupError):
                node.kill()
            await node.wait()
            await reading

    return run


async def _read(node: asyncio.subprocess.Process, heard: Heard) -> None:
    assert node.stdout is not None
    async for line in node.stdout:
        await heard.tell(json.loads(line))


@asynccontextmanager
async def httpx_sse(url: str, token: Token) -> AsyncIterator[Heard]:
    """`httpx-sse`, which leaves coming back to its user."""
    heard = Heard("httpx-sse")
    reading = asyncio.create_task(_follow(url, token(), heard))
    try:
        yield heard
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading


async def _follow(url: str, token: str, heard: Heard) -> None:
    headers, retry_ms = {"authorization": f"Bearer {token}"}, 1_000
    async with httpx.AsyncClient(timeout=httpx.Timeout(10, read=None)) as client:
        while True:
            async with aconnect_sse(client, "GET", url, headers=headers) as source:
                try:
                    async for name, data, id_, retry in _messages(source):
                        retry_ms = retry or retry_ms
                        if id_:
                            headers["last-event-id"] = id_
                        await heard.tell(_word(name, data, id_))
                except SSEError:  # not a stream
                    await heard.tell({"stopped": source.response.status_code})
                    return
            await asyncio.sleep(retry_ms / 1000)


async def _messages(source: EventSource) -> AsyncIterator[tuple[str, str, str, int | None]]:
    async for message in source.aiter_sse():
        yield message.event, message.data, message.id, message.retry


def _word(name: str, data: str, id_: str) -> dict[str, object]:
    if not data:
        return {}
    value = json.loads(data)
    if name == "message":
        return {"type": value["type"], "id": id_}
    return {"end": value["reason"]} if name == "end" else {name: value}

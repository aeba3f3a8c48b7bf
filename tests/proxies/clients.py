"""The clients of the table. Each follows a visit to its end, and returns the seqs that it was given."""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from playwright.async_api import Browser

from scopekit_progress import StreamEnded, follow
from tests.deploy.proxies.proxies import Front
from tests.realtime.client.strict_source import StrictEventSource
from tests.realtime.client.test_documented_clients import command
from tests.realtime.client.test_tickets_cross_origin import FOLLOW


@dataclass(frozen=True)
class Watched:
    """A visit behind a proxy: a token, an address that a ticket opens, a page's address, a place for files."""

    front: Front
    visit: str
    token: str
    ticket: str
    directory: Path
    browser: Browser
    page: str


Client = Callable[[Watched], Coroutine[None, None, list[int]]]


async def strict(watched: Watched) -> list[int]:
    """An EventSource of another origin that closes for good on anything but 200."""
    source = StrictEventSource(watched.front.url, watched.ticket, trust=watched.front.trust)
    await source.run()
    return source.seqs


async def chromium(watched: Watched) -> list[int]:
    """Chromium's EventSource, on a page of another origin."""
    context = await watched.browser.new_context(ignore_https_errors=True)
    page = await context.new_page()
    await page.goto(watched.page)
    await page.evaluate(FOLLOW, watched.front.url + watched.ticket)
    await page.evaluate("window.ended")
    seqs: list[int] = await page.evaluate("window.seqs")
    await context.close()
    return seqs


async def package(watched: Watched) -> list[int]:
    """`scopekit-progress`."""
    seqs: list[int] = []
    async with httpx.AsyncClient(verify=watched.front.trust) as caller:
        with suppress(StreamEnded):
            async for event in follow(watched.front.url, watched.visit, token=watched.token, client=caller):
                seqs += [event["seq"]] if event["type"] != "snapshot" else []
    return seqs


def documented(language: str) -> Client:
    """A client of twenty lines, as it stands in docs/reference/events.md."""

    async def run(watched: Watched) -> list[int]:
        own = {"URL": watched.front.url, "TOKEN": watched.token, "VISIT": watched.visit}
        cert = str(watched.front.cert or "")
        trusted = dict.fromkeys(("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "CURL_CA_BUNDLE"), cert) if cert else {}
        running = await asyncio.create_subprocess_exec(
            *await asyncio.to_thread(command, language, watched.directory),
            env=os.environ | own | trusted,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            printed, _ = await running.communicate()
        finally:
            if running.returncode is None:
                running.kill()
        lines = [line.removeprefix("data: ") for line in printed.decode().splitlines()]
        events = [json.loads(line) for line in lines if line.startswith('{"visit_id"')]
        return [event["seq"] for event in events if event["type"] != "snapshot"]

    return run


CLIENTS: Mapping[str, Client] = {
    "EventSource, strict": strict,
    "EventSource, Chromium": chromium,
    "Node, 20 lines": documented("javascript"),
    "Python, 20 lines": documented("python"),
    "curl": documented("bash"),
    "scopekit-progress": package,
}

"""An EventSource as strict as a browser's: it comes back after each end, and never again after anything but 200."""

import asyncio
import ssl
from collections.abc import Mapping

import httpx

from tests.realtime.client.eventsource import EventStream

SECONDS = 60.0
# Where the page comes from that the strict client stands for: another origin than the gateway's.
ORIGIN = "https://app.example.test"


class StrictEventSource:
    """Follows one address, of another origin.

    `seqs` are those of the events, in the order they came; `heard` gives the name of each message.
    """

    def __init__(
        self,
        base_url: str,
        address: str,
        *,
        trust: ssl.SSLContext | bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._client = httpx.AsyncClient(base_url=base_url, verify=trust, timeout=SECONDS)
        self._address = address
        self._headers = {"origin": ORIGIN, **(headers or {})}
        self.seqs: list[int] = []
        self.connections = 0
        self.heard: asyncio.Queue[str] = asyncio.Queue()

    async def run(self) -> None:
        """Follow the stream until it says `end` for good; raises for an answer that stops an EventSource."""
        async with self._client:
            while True:
                stream = EventStream()
                try:
                    async with self._client.stream("GET", self._address, headers=self._headers) as answer:
                        self._require_open(answer)
                        if await self._read(answer, stream):
                            return
                except httpx.TransportError:
                    pass  # cut off: a browser comes back after that too
                await asyncio.sleep((stream.retries or [1_000])[-1] / 1_000)

    async def until(self, event: str) -> None:
        """Wait for the next message of this name."""
        async with asyncio.timeout(SECONDS):
            while await self.heard.get() != event:
                pass

    def _require_open(self, answer: httpx.Response) -> None:
        assert answer.status_code == httpx.codes.OK, answer.status_code
        assert answer.headers["content-type"] == "text/event-stream", answer.headers
        assert answer.headers["access-control-allow-origin"] == ORIGIN, answer.headers
        self.connections += 1

    async def _read(self, answer: httpx.Response, stream: EventStream) -> bool:
        async for chunk in answer.aiter_raw():
            before = len(stream.messages)
            stream.feed(chunk)
            for message in stream.messages[before:]:
                if message.event == "message" and message.json["type"] != "snapshot":
                    self.seqs.append(message.json["seq"])
                if stream.last_event_id:
                    self._headers["last-event-id"] = stream.last_event_id
                self.heard.put_nowait(message.event)
                if message.event == "end" and message.json["reason"] not in ("busy", "replaced"):
                    return True
        return False

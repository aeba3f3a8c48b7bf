"""Somebody at a browser: one context, watched for whatever a person should never meet."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request

if TYPE_CHECKING:
    from pathlib import Path

# Chromium logs each answer of 400 and above as an error of the page; a test that provokes one says so.
_FAILED_LOAD = "Failed to load resource"
# Only a test takes the network away; what the browser then logs of requests under way is no fault of the page.
_OFFLINE = "net::ERR_INTERNET_DISCONNECTED"
# Playwright's own word where a browser is told to keep no console.
_KEEPS_NOTHING = "Service Worker registration blocked"


@dataclass
class Person:
    """A page and what was seen of it. `expects_refusals` lets the browser's own log of refused requests pass."""

    page: Page
    shots: "Path"
    expects_refusals: bool = False
    complaints: list[str] = field(default_factory=list)

    @classmethod
    async def at(cls, context: BrowserContext, shots: "Path") -> "Person":
        """Open a page in `context` and watch it."""
        person = cls(await context.new_page(), shots)
        context.on("request", person.saw_request)
        context.on("console", person.saw_console)
        context.on("weberror", lambda error: person.complaints.append(f"page error: {error.error}"))
        return person

    def saw_request(self, request: Request) -> None:
        """Nothing may be asked of anybody but this machine."""
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https") and parts.hostname not in ("127.0.0.1", "localhost"):
            self.complaints.append(f"request to {parts.hostname}")

    def saw_console(self, message: ConsoleMessage) -> None:
        """Errors and warnings in the console are faults of the page."""
        if message.type not in ("error", "warning") or message.text.startswith(_KEEPS_NOTHING):
            return
        failed = message.text.startswith(_FAILED_LOAD)
        if not (failed and (self.expects_refusals or _OFFLINE in message.text)):
            self.complaints.append(f"console {message.type}: {message.text}")

    async def shoot(self, name: str, *, full: bool = False) -> None:
        """Keep a picture of what the person sees."""
        await self.page.screenshot(path=self.shots / f"{name}.png", full_page=full)

"""A tus client of a few lines, for tests that say each request themselves."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import httpx

CHUNK = "application/offset+octet-stream"


def metadata(**values: str) -> str:
    """Encode Upload-Metadata."""
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())


def checksum(body: bytes, algorithm: str = "sha1") -> str:
    """Encode Upload-Checksum."""
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, body).digest()).decode()}"


@dataclass
class Tus:
    """One user's hand at /v1/uploads of one gateway."""

    client: httpx.AsyncClient
    headers: dict[str, str]
    visit: str

    async def create(
        self, size: int, content_type: str = "image/jpeg", *, body: bytes | None = None, **more: str
    ) -> httpx.Response:
        """Announce a file."""
        said = metadata(visit_id=self.visit, filetype=content_type, **more)
        headers = {"upload-length": str(size), "upload-metadata": said}
        if body is not None:
            headers["content-type"] = CHUNK
        return await self.request("POST", "/v1/uploads", headers, body)

    async def begin(self, size: int, content_type: str = "image/jpeg", **more: str) -> str:
        """Announce a file and return where it goes."""
        answer = await self.create(size, content_type, body=None, **more)
        assert answer.status_code == 201, answer.text
        location: str = answer.headers["location"]
        return location

    async def patch(self, url: str, offset: int, body: Any, **more: str) -> httpx.Response:
        """Add bytes."""
        headers = {"upload-offset": str(offset), "content-type": CHUNK}
        return await self.request("PATCH", url, headers | {k.replace("_", "-"): v for k, v in more.items()}, body)

    async def offset(self, url: str) -> int:
        """Ask how much is safe."""
        answer = await self.request("HEAD", url)
        assert answer.status_code == 200, answer.status_code
        return int(answer.headers["upload-offset"])

    async def request(
        self, method: str, url: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> httpx.Response:
        """Say our version and who we are."""
        said = {"tus-resumable": "1.0.0"} | self.headers | (headers or {})
        return await self.client.request(method, url, headers=said, content=body)

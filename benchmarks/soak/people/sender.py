"""The ways a contractor sends files: whole and in pieces, and broken off in the middle."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from uuid import uuid4

from benchmarks.soak.people.caller import Caller, WrongAnswer
from benchmarks.soak.people.material import Material
from tests.gateway.uploads.tus.tus import CHUNK, checksum, metadata

BLOCK = 256 * 1024
JPEG = {"content-type": "image/jpeg"}
TUS = {"tus-resumable": "1.0.0"}
# Another still writes, or has written since: ask again.
BUSY = (423, 409)
AGAIN_SECONDS = 0.5
VOICE = "audio/webm;codecs=opus"


class LostSignal(Exception):
    """The phone's, in the middle of a file."""


class Sender:
    """One contractor's phone."""

    def __init__(self, caller: Caller, material: Material) -> None:
        self._caller = caller
        self._material = material

    async def post(self, visit: str) -> str:
        """Post a photo, and once more as a phone does that did not hear the answer; returns its id."""
        media_id = str(uuid4())
        for kind, status in (("photo posted", 201), ("the same photo again", 200)):
            headers = JPEG | {"x-media-id": media_id}
            await self._caller.ask(
                kind, "POST", f"{visit}/media", status, content=self._material.photo, headers=headers
            )
        return media_id

    async def resumable(self, visit: str) -> None:
        """Send a photo by tus in two pieces, asking in between how much has come."""
        body = self._material.heic
        url, half = await self._begin(visit, len(body), "image/heic"), len(body) // 2
        await self._piece(url, 0, body[:half])
        if await self._offset(url) != half:
            raise self._complain(f"{url} has {await self._offset(url)} of {half} bytes")
        await self._piece(url, half, body[half:])

    async def speak(self, visit: str) -> None:
        """Send a note piece by piece as it is spoken, the last one first, and have it joined."""
        recording = f"{visit}/recordings/{uuid4()}"
        for sequence, piece in reversed(list(enumerate(self._material.pieces))):
            headers = {"content-type": VOICE, "x-sequence": str(sequence)}
            await self._caller.ask(
                "piece of a recording", "POST", f"{recording}/chunks", 201, content=piece, headers=headers
            )
        wish = {"last_sequence": len(self._material.pieces) - 1}
        await self._caller.ask("recording joined", "POST", f"{recording}/finalize", 201, json=wish)

    async def break_off(self, visit: str) -> None:
        """Lose the signal in the middle of a large photo: nothing of it stays."""
        path = f"{visit}/media"
        await self._lose("POST", path, JPEG, self._material.large)
        rows = (await self._caller.ask("media listed", "GET", path, 200)).json()["media"]
        if rows:
            raise self._complain(f"{path} has {len(rows)} media of a photo that was broken off")

    async def resume(self, visit: str) -> None:
        """Lose the signal in the middle of a large photo by tus, go on from what is safe, and remove it again."""
        body = self._material.large
        url = await self._begin(visit, len(body), "image/jpeg")
        await self._lose("PATCH", url, TUS | {"upload-offset": "0", "content-type": CHUNK}, body)
        await self._go_on(url, body)
        rows = (await self._caller.ask("media listed", "GET", f"{visit}/media", 200)).json()["media"]
        if [row["sha256"] for row in rows] != [hashlib.sha256(body).hexdigest()]:
            raise self._complain(f"{visit} does not hold what {url} has sent")
        await self._caller.ask("medium removed", "DELETE", f"/v1/media/{rows[0]['id']}", 204)

    async def give_up(self, visit: str) -> None:
        """Begin by tus, lose the signal, and drop it."""
        body = self._material.large
        url = await self._begin(visit, len(body), "image/jpeg")
        await self._lose("PATCH", url, TUS | {"upload-offset": "0", "content-type": CHUNK}, body)
        await self._caller.ask("tus dropped", "DELETE", url, 204, headers=TUS)

    async def _begin(self, visit: str, size: int, kind: str) -> str:
        said = metadata(visit_id=visit.rpartition("/")[2], filetype=kind)
        headers = TUS | {"upload-length": str(size), "upload-metadata": said}
        answer = await self._caller.ask("tus begun", "POST", "/v1/uploads", 201, headers=headers)
        return str(answer.headers["location"])

    async def _piece(self, url: str, offset: int, body: bytes, *wanted: int) -> int:
        headers = TUS | {"upload-offset": str(offset), "content-type": CHUNK, "upload-checksum": checksum(body)}
        answer = await self._caller.ask("tus piece", "PATCH", url, *(wanted or (204,)), headers=headers, content=body)
        return answer.status_code

    async def _go_on(self, url: str, body: bytes) -> None:
        """Send the rest, again while the gateway still holds what was broken off, as tus clients do."""
        safe = await self._offset(url)
        while await self._piece(url, safe, body[safe:], 204, *BUSY) in BUSY:
            await asyncio.sleep(AGAIN_SECONDS)
            safe = await self._offset(url)

    async def _offset(self, url: str) -> int:
        answer = await self._caller.ask("tus offset", "HEAD", url, 200, headers=TUS)
        return int(answer.headers["upload-offset"])

    async def _lose(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        try:
            await self._caller.ask("broken off", method, path, content=_half(body), headers=headers | _length(body))
        except LostSignal:
            return

    def _complain(self, text: str) -> WrongAnswer:
        self._caller.ledger.complain(text)
        return WrongAnswer(text)


def _length(body: bytes) -> dict[str, str]:
    return {"content-length": str(len(body))}


async def _half(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, 9 * len(body) // 10, BLOCK):
        yield body[at : at + BLOCK]
    raise LostSignal

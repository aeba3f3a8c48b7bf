"""What the contractors of the soak have to send, made once."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.gateway.uploads.files import files
from tests.support.material import SPOKEN, voice_note

# Two parts and a bit: what is broken off in its middle leaves a multipart upload to be dropped.
LARGE_BYTES = 11_000_000
# Too many at once would make the store's disk the benchmark.
CHUNK_BYTES = 16_000


@dataclass(frozen=True)
class Material:
    """Files as bodies: photos small and large, and a spoken note in pieces as a recorder sends them."""

    photo: bytes
    heic: bytes
    large: bytes
    pieces: list[bytes]

    @classmethod
    def make(cls) -> Self:
        """Draw, pad and speak it; needs espeak-ng and ffmpeg."""
        with tempfile.TemporaryDirectory() as directory:
            voice = voice_note(Path(directory) / "note.webm", SPOKEN).read_bytes()
        photo = files.jpeg(1200, 900)
        return cls(
            photo=photo,
            heic=files.heic(),
            large=photo + os.urandom(LARGE_BYTES - len(photo)),
            pieces=[voice[at : at + CHUNK_BYTES] for at in range(0, len(voice), CHUNK_BYTES)],
        )

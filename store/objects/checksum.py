"""The checksum a client sends along with some bytes, and whether they are those. Pure."""

import base64
import binascii
import hashlib
import hmac
from typing import Self

from store.errors import Damaged, InvalidInput

ALGORITHMS = ("sha1", "sha256")


class Checksum:
    """The expected checksum of bytes, checked as they come."""

    def __init__(self, algorithm: str, expected: bytes) -> None:
        # SHA-1 is what tus requires of every server: against damage on the way, not against forgery.
        self._hash = hashlib.new(algorithm, usedforsecurity=False)
        self._expected = expected

    @classmethod
    def parse(cls, header: str | None) -> Self | None:
        """Read `Upload-Checksum`: an algorithm and Base64, or nothing. Raises `InvalidInput`."""
        if header is None:
            return None
        algorithm, _, encoded = header.strip().partition(" ")
        if algorithm not in ALGORITHMS:
            raise InvalidInput(f"Upload-Checksum may use: {', '.join(ALGORITHMS)}.", field="upload-checksum")
        try:
            checksum = cls(algorithm, base64.b64decode(encoded, validate=True))
        except (binascii.Error, ValueError):
            raise InvalidInput("Upload-Checksum must be an algorithm and Base64.", field="upload-checksum") from None
        return checksum

    @classmethod
    def of_md5(cls, header: str | None) -> Self | None:
        """Read `Content-MD5`: Base64, or nothing. Raises `InvalidInput`."""
        if header is None:
            return None
        try:
            expected = base64.b64decode(header.strip(), validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput("Content-MD5 must be Base64.", field="content-md5") from None
        return cls("md5", expected)

    def update(self, chunk: bytes) -> None:
        """Count some bytes in."""
        self._hash.update(chunk)

    def verify(self) -> None:
        """Raise `Damaged` when the bytes so far are others."""
        if not hmac.compare_digest(self._hash.digest(), self._expected):
            raise Damaged("The bytes do not have the checksum that came with them. Send them again.")

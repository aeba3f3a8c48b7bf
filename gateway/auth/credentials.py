"""Credentials that this product makes itself: an id and a secret of 256 bits in one text. Pure.

The id finds the row, the secret proves the holder; the row keeps the secret's sha256.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from uuid import UUID

_ID_BYTES, _SECRET_BYTES = 16, 32
_LENGTH = 64  # of both in base64url, which needs no padding


@dataclass(frozen=True)
class Credential:
    """The content of a session's cookie or an API key."""

    id: UUID
    secret: bytes

    @property
    def secret_hash(self) -> bytes:
        """sha256 of the secret; the database keeps no more."""
        return digest(self.secret)

    def fits(self, secret_hash: bytes | None) -> bool:
        """Tell whether this is the secret behind the hash, in constant time."""
        return secret_hash is not None and hmac.compare_digest(self.secret_hash, secret_hash)

    def derive(self, purpose: str) -> str:
        """Return another secret for one purpose, which only the holder of this one can make."""
        return _text(hmac.digest(self.secret, purpose.encode(), "sha256"))

    def __str__(self) -> str:
        return _text(self.id.bytes + self.secret)


def new_secret() -> bytes:
    """Make a secret of 256 bits."""
    return secrets.token_bytes(_SECRET_BYTES)


def digest(secret: bytes) -> bytes:
    """Hash a secret of 256 bits: with so much entropy a plain sha256 cannot be searched."""
    return hashlib.sha256(secret).digest()


def parse(text: str) -> Credential | None:
    """Read a credential; None for a text that is none."""
    if len(text) != _LENGTH:
        return None
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii"))
    except (UnicodeEncodeError, binascii.Error):
        return None
    if len(raw) != _ID_BYTES + _SECRET_BYTES:
        return None
    return Credential(UUID(bytes=raw[:_ID_BYTES]), raw[_ID_BYTES:])


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

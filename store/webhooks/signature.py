"""Signatures by the Standard Webhooks specification 1.0: HMAC-SHA256 over `{id}.{timestamp}.{body}`. Pure."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

PREFIX = "whsec_"
SECRET_BYTES, LEAST_BYTES, MOST_BYTES = 32, 24, 64


def new_secret() -> bytes:
    """Make a signing secret."""
    return secrets.token_bytes(SECRET_BYTES)


def text_of(secret: bytes) -> str:
    """Write a secret as its receiver keeps it: `whsec_` and base64."""
    return PREFIX + base64.b64encode(secret).decode()


def bytes_of(text: str) -> bytes:
    """Read a secret as `text_of` writes it. Raises ValueError for another text."""
    secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    if not text.startswith(PREFIX) or not LEAST_BYTES <= len(secret) <= MOST_BYTES:
        raise ValueError("no whsec_ secret")
    return secret


def message_id(message: str) -> str:
    """Return the id that an event keeps, however often it is delivered."""
    return f"msg_{message.replace('-', '')}"


def headers(sent_as: str, timestamp: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Return the headers of an attempt made at `timestamp`, in seconds; a signature for each key, in their order."""
    content = b"%s.%d.%s" % (sent_as.encode(), timestamp, body)
    signatures = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys]
    signed = {"webhook-signature": " ".join(f"v1,{signature}" for signature in signatures)} if keys else {}
    return {"webhook-id": sent_as, "webhook-timestamp": str(timestamp), **signed}

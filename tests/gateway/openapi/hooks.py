"""Loaded by schemathesis: how bodies that are files or pieces of files are sent."""

from typing import Any

import schemathesis

from gateway.uploads.tus.headers import CHUNK_TYPE
from store.objects.content import TYPES


@schemathesis.serializer(CHUNK_TYPE, *TYPES)
def as_bytes(_context: Any, value: Any) -> bytes:
    """Send what was made up, whatever it is."""
    return value if isinstance(value, bytes) else repr(value).encode()

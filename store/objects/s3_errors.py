"""Calls to the object store, with a deadline, and with its errors turned into ours."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from config.logging import get_logger
from store.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_log = get_logger(__name__)

# Retries included. A question carries no bytes, and someone waits for a picture meanwhile; 100 MB need their time.
LOOK_SECONDS = 10.0
MOVE_SECONDS = 60.0
MISSING = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchUpload", "InvalidPart"})


@asynccontextmanager
async def s3_call(key: str | None = None, *, moving: bool = False) -> AsyncIterator[None]:
    """Turn the store's errors into ours, silence too; with a `key`, a missing one is `NotFound`."""
    try:
        async with asyncio.timeout(MOVE_SECONDS if moving else LOOK_SECONDS):
            yield
    except ClientError as error:
        if key is not None and error_code(error) in MISSING:
            raise NotFound("The file is not in the store any more.") from error
        _log.warning("Object store refused", operation=error.operation_name, code=error_code(error))
        raise Unavailable("The file store refused the request; nothing was changed. Try again.") from error
    except (BotoCoreError, HTTPClientError, OSError, TimeoutError) as error:
        _log.warning("Object store does not answer", error=type(error).__name__)
        raise Unavailable("The file store does not answer; nothing was changed. Try again.") from error


def error_code(error: ClientError) -> str:
    """Return the store's own error code, such as `NoSuchKey`."""
    return str(error.response.get("Error", {}).get("Code", ""))

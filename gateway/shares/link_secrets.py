"""The secrets of a share: its token, its sessions' secrets and its passcode. None is kept; only hashes are."""

import asyncio
import hashlib
import secrets
import unicodedata
from collections.abc import Callable, Hashable
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from store.fair_share import FairShare

Answer = TypeVar("Answer")

SECRET_LENGTH = 43  # 256 bits in base64url
# Each hash takes 19 MiB and a processor for 24 ms.
AT_ONCE, PLACES, SECONDS = 4, 64, 10.0


def new_secret() -> str:
    """Make a token or a session's secret of 256 bits, fit for a path and a cookie."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """Hash a secret of 256 bits: with so much entropy a plain sha256 cannot be searched."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def passcode_hashing() -> FairShare:
    """Make the share of passcodes that are hashed at once: companies make them, and customers try them, by link."""
    return FairShare(AT_ONCE, places=PLACES, seconds=SECONDS)


async def hash_passcode(hashing: FairShare, passcode: str, *, whose: Hashable) -> str:
    """Hash a passcode, off the event loop: it takes some tens of milliseconds on purpose.

    Raises as `FairShare` does.
    """
    return await hashing.until_done(whose, _in_thread(_hasher().hash, _typed(passcode)))


async def passcode_fits(hashing: FairShare, passcode_hash: str, passcode: str, *, whose: Hashable) -> bool:
    """Tell whether this is the passcode, off the event loop. Raises as `FairShare` does."""
    return await hashing.until_done(whose, _in_thread(_fits, passcode_hash, passcode))


def _in_thread(work: Callable[..., Answer], *given: str) -> "Callable[[], asyncio.Future[Answer]]":
    return lambda: asyncio.get_running_loop().run_in_executor(None, work, *given)


def _fits(passcode_hash: str, passcode: str) -> bool:
    try:
        return _hasher().verify(passcode_hash, _typed(passcode))
    except (VerificationError, InvalidHashError):
        return False


def _typed(passcode: str) -> str:
    """Forgive the additions of a phone's keyboard: spaces around, and one of several spellings of a letter."""
    return unicodedata.normalize("NFKC", passcode).strip()


@cache
def _hasher() -> PasswordHasher:
    # OWASP's least for argon2id: 19 MiB, two passes. A guess costs what it should; four at once cost 76 MiB.
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

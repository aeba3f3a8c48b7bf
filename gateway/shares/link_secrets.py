"""The secrets of a share: its token, its sessions' secrets and its passcode. None is kept; only hashes are."""

import asyncio
import hashlib
import secrets
import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SECRET_LENGTH = 43  # 256 bits in base64url


def new_secret() -> str:
    """Make a token or a session's secret of 256 bits, fit for a path and a cookie."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """Hash a secret of 256 bits: with so much entropy a plain sha256 cannot be searched."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


async def hash_passcode(passcode: str) -> str:
    """Hash a passcode, off the event loop: it takes some tens of milliseconds on purpose."""
    return await asyncio.to_thread(_hasher().hash, _typed(passcode))


async def passcode_fits(passcode_hash: str, passcode: str) -> bool:
    """Tell whether this is the passcode, off the event loop."""
    return await asyncio.to_thread(_fits, passcode_hash, passcode)


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
    # OWASP's least for argon2id: 19 MiB, two passes. A guess costs what it should; eight at once cost 152 MiB.
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

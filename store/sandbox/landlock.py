"""Landlock: the kernel refuses files and connections to this process, even as root."""

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from store.sandbox import linux

_VERSION_FLAG, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# The rights that each version of Landlock added: files, then TCP, then signals and abstract sockets.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_TCP_SINCE, _TCP_RIGHTS = 4, 0b11
_SCOPES_SINCE, _SCOPES = 6, 0b11
_FIRST_SIZE, _WITH_TCP_SIZE, _WITH_SCOPES_SIZE = 8, 16, 24


def version() -> int:
    """Return the version that this kernel has. Raises OSError where it has none."""
    return linux.syscall(linux.LANDLOCK_CREATE_RULESET, None, 0, _VERSION_FLAG)


def restrict(readable: Sequence[Path]) -> None:
    """Refuse every file but those below `readable`, which may be read, and all TCP. Raises OSError.

    Only the calling thread is held, and threads that it starts later.
    """
    known = version()
    files = sum(rights for since, rights in _FILE_RIGHTS.items() if known >= since)
    ruleset = linux.syscall(linux.LANDLOCK_CREATE_RULESET, *_attributes(known, files), 0)
    try:
        for path in readable:
            _allow(ruleset, path)
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        linux.syscall(linux.LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _attributes(known: int, files: int) -> tuple[bytes, int]:
    size = _WITH_SCOPES_SIZE if known >= _SCOPES_SINCE else _WITH_TCP_SIZE if known >= _TCP_SINCE else _FIRST_SIZE
    return struct.pack("QQQ", files, _TCP_RIGHTS, _SCOPES), size


def _allow(ruleset: int, path: Path) -> None:
    opened = os.open(path, os.O_PATH)
    try:
        rule = struct.pack("=Qi", _READ_FILE | _READ_DIR, opened)
        linux.syscall(linux.LANDLOCK_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(opened)

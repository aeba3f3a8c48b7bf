"""PostgreSQL refuses root and users without a name: two ways out, neither of which adds a user to the machine.

The first is a user namespace with a single uid: the server believes it is uid 65534 while the kernel still writes
its files as the caller. Containers often forbid that; then, for root, the server really becomes 65534 and keeps one
capability, CAP_DAC_OVERRIDE, so that it reaches its directory below a closed one such as /root.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from devstack.errors import EmbeddedError
from devstack.process import check, libc

if TYPE_CHECKING:
    from collections.abc import Callable

NOBODY = 65534
CLONE_NEWUSER = 0x10000000
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def way_in(binary: Path, directory: Path) -> Callable[[], None] | None:
    """Return a function for a child to call before exec so that PostgreSQL accepts it; None for a named user.

    Gives `directory` to the user the server will run as. Raises EmbeddedError when neither way works here.
    """
    uid = os.geteuid()
    if uid != 0 and has_name(uid):
        return None
    if uid == 0:
        give(directory, 0)
    in_namespace = namespace_of_one(directory)
    if works(binary, in_namespace):
        return in_namespace
    if uid == 0 and works(binary, nobody_with_override):
        give(directory, NOBODY)
        return nobody_with_override
    raise EmbeddedError(
        f"PostgreSQL does not run as uid {uid} (root or without a name in the user database), and this system "
        "allows neither a user namespace nor a change of uid: start ScopeKit as an ordinary user",
    )


def has_name(uid: int) -> bool:
    """Say whether the user database knows a uid; initdb insists on it."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def works(binary: Path, become: Callable[[], None]) -> bool:
    """Try a way on the harmless `postgres --version`."""
    try:
        answer = subprocess.run(  # noqa: S603 - our own binary
            [binary, "--version"], preexec_fn=become, capture_output=True, check=False, timeout=20, cwd="/"
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.returncode == 0


def namespace_of_one(directory: Path) -> Callable[[], None]:
    """Make the first way: our uid outside is 65534 inside, and nobody else exists."""
    unshare, outside = libc().unshare, os.geteuid()

    def become() -> None:
        check(unshare(CLONE_NEWUSER), "unshare")
        Path("/proc/self/uid_map").write_text(f"{NOBODY} {outside} 1")
        if not os.access(directory, os.W_OK | os.X_OK):  # root's powers over others' files stay outside
            raise PermissionError(directory)

    return become


def nobody_with_override() -> None:
    """Go the second way: become uid 65534 and keep only the right to pass file permissions."""
    prctl, capset = libc().prctl, libc().capset
    check(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "prctl")
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    only = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    check(capset(header, (ctypes.c_uint32 * 6)(only, only, only, 0, 0, 0)), "capset")
    check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0), "prctl")


def give(directory: Path, uid: int) -> None:
    """Make a tree belong to `uid`; does nothing when its top already does."""
    if directory.stat().st_uid == uid:
        return
    for folder, _folders, files in os.walk(directory):
        for path in (folder, *(os.path.join(folder, name) for name in files)):  # noqa: PTH118 - many files
            os.chown(path, uid, -1, follow_symlinks=False)

"""System calls of Linux that Python 3.11 has no function for. Each raises OSError, on other systems too."""

import ctypes
import errno
import os
import sys

PR_SET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 3, 4, 24, 38

# System calls that not every C library wraps. New ones have the same number on every processor.
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
SECCOMP = {"x86_64": 317, "aarch64": 277}
CAPSET = {"x86_64": 126, "aarch64": 91}

_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int = 0) -> int:
    """Change or read a property of this process."""
    return _checked(_libc.prctl, option, *map(ctypes.c_ulong, (value, 0, 0, 0)))


def syscall(number: int, *args: object) -> int:
    """Call the kernel by number; integers, bytes, None and ctypes' pointers are taken."""
    return _checked(
        _libc.syscall, ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in args)
    )


def syscall_of(numbers: dict[str, int], *args: object) -> int:
    """Call the kernel by this machine's number of `numbers`."""
    number = numbers.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, "this kind of processor is not known here")
    return syscall(number, *args)


def unshare(flags: int) -> None:
    """Leave the namespaces that `flags` name."""
    _checked(_libc.unshare, flags)


def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Mount `source` at `target`."""
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind)]
    _checked(_libc.mount, *words, ctypes.c_ulong(flags), None if data is None else data.encode())


def unmount(target: str, flags: int) -> None:
    """Unmount `target`."""
    _checked(_libc.umount2, os.fsencode(target), flags)


def exit_on(signal_number: int) -> None:
    """End this process at once on a signal, in the middle of C code too.

    The first process of a PID namespace ignores signals that it has no handler for. Python's own handlers run between
    bytecodes, so the handler is the C library's `_exit`, which takes the number of the signal as the status.
    """
    _libc.signal.restype = ctypes.c_void_p
    _libc.signal(signal_number, ctypes.cast(_libc._exit, ctypes.c_void_p))  # noqa: SLF001 - a C function's name


def _checked(function: object, *args: object) -> int:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, "only Linux has this")
    assert callable(function)  # noqa: S101 - a function of the C library
    result = int(function(*args))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

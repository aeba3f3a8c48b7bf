"""seccomp: the kernel refuses every system call that decoding needs no more.

Any call not named here is answered with EPERM: sockets, new processes, programs, signals to others, ptrace, mounts.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from store.sandbox import linux

_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_ALLOW, _KILL, _ERRNO = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_EPERM, _ENOSYS = 1, 38
# Instructions of the classic packet filter: load a word, jump if equal, jump if any bit is set, answer.
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_CLONE_THREAD = 0x1_0000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_PROT_EXEC = 4


class _Machine(NamedTuple):
    """A processor's name for audit, and its place in the table of numbers."""

    audit: int
    column: int


_MACHINES = {"x86_64": _Machine(0xC000_003E, 0), "aarch64": _Machine(0xC000_00B7, 1)}
_CLONE, _CLONE3, _PRLIMIT = (56, 220), (435, 435), (302, 261)
_MMAP, _MPROTECT, _OPENAT, _OPEN = (9, 222), (10, 226), (257, 56), (2, None)
# Each system call with its number on x86-64 and on 64-bit ARM.
_PLAIN = """
read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 close:3:57 fstat:5:80 lseek:8:62 fcntl:72:25
poll:7:- ppoll:271:73 select:23:- pselect6:270:72 munmap:11:215 mremap:25:216 brk:12:214 madvise:28:233
membarrier:324:283 futex:202:98 set_robust_list:273:99 get_robust_list:274:100 rseq:334:293 exit:60:93
exit_group:231:94 restart_syscall:219:128 sched_yield:24:124 sched_getaffinity:204:123 sched_setaffinity:203:122
sched_getparam:143:121 sched_getscheduler:145:120 getcpu:309:168 sched_get_priority_max:146:125
sched_get_priority_min:147:126 clock_gettime:228:113 clock_nanosleep:230:115 nanosleep:35:101
clock_getres:229:114 gettimeofday:96:169 time:201:- times:100:153 setitimer:38:103 getitimer:36:102
getrusage:98:165 getrlimit:97:163 rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139
sigaltstack:131:132 getpid:39:172 gettid:186:178 getppid:110:173 uname:63:160 sysinfo:99:179 getuid:102:174
geteuid:107:175 getgid:104:176 getegid:108:177 getrandom:318:278
"""
_READING_FILES = """
getdents64:217:61 readlink:89:- readlinkat:267:78 getcwd:79:17 access:21:- faccessat:269:48 faccessat2:439:439
fadvise64:221:223 stat:4:- lstat:6:- newfstatat:262:79 statx:332:291
"""


def restrict(*, reads_files: bool) -> None:
    """Refuse all other system calls in every thread, for good; files, if at all, are only read.

    A process that reads no files loads no code either. Raises OSError.
    """
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        raise OSError(_ENOSYS, "this kind of processor is not known here")
    code = b"".join(_program(machine, reads_files=reads_files))
    text = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(text))
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    linux.syscall_of(linux.SECCOMP, _SET_MODE_FILTER, _ALL_THREADS, program)


def _program(machine: _Machine, *, reads_files: bool) -> Iterator[bytes]:
    yield _step(_LOAD, _ARCHITECTURE_AT)
    yield _step(_EQUAL, machine.audit, then=1)
    yield _step(_RETURN, _KILL)
    yield _step(_LOAD, _NUMBER_AT)
    column = machine.column
    for entry in (_PLAIN + _READING_FILES if reads_files else _PLAIN).split():
        number = entry.split(":")[1 + column]
        yield from _answer(None if number == "-" else int(number), _ALLOW)
    yield from _answer(_CLONE3[column], _ERRNO | _ENOSYS)  # the C library then uses clone, whose flags can be seen
    yield from _only_with(_CLONE[column], 0, _CLONE_THREAD)
    yield from _only_without(_PRLIMIT[column], 0, 0xFFFF_FFFF)  # of no other process
    executable = 0 if reads_files else _PROT_EXEC
    yield from _only_without(_MMAP[column], 2, executable)
    yield from _only_without(_MPROTECT[column], 2, executable)
    if reads_files:
        yield from _only_without(_OPENAT[column], 2, _WRITING)
        yield from _only_without(_OPEN[column], 1, _WRITING)
    yield _step(_RETURN, _ERRNO | _EPERM)


def _answer(number: int | None, answer: int) -> Iterator[bytes]:
    if number is not None:
        yield _step(_EQUAL, number, otherwise=1)
        yield _step(_RETURN, answer)


def _only_with(number: int | None, argument: int, bits: int) -> Iterator[bytes]:
    yield from _by_bits(number, argument, bits, present=_ALLOW, absent=_ERRNO | _EPERM)


def _only_without(number: int | None, argument: int, bits: int) -> Iterator[bytes]:
    yield from _by_bits(number, argument, bits, present=_ERRNO | _EPERM, absent=_ALLOW)


def _by_bits(number: int | None, argument: int, bits: int, *, present: int, absent: int) -> Iterator[bytes]:
    if number is not None:
        yield _step(_EQUAL, number, otherwise=4)
        yield _step(_LOAD, _ARGUMENTS_AT + 8 * argument)  # its lower half: both processors are little-endian
        yield _step(_ANY_BIT, bits, otherwise=1)
        yield _step(_RETURN, present)
        yield _step(_RETURN, absent)


def _step(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)

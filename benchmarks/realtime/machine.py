"""What the kernel knows of a process, and how the benchmarks share two cores."""

import os
import resource
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
SERVER_CORE = 0
CLIENT_CORE = 1
FILES = 65_536


def cpu_seconds(pid: int) -> float:
    """Return the CPU a process has used, all threads, user and system, in steps of 10 ms."""
    return sum(cpu_split(pid))


def cpu_split(pid: int) -> tuple[float, float]:
    """Return the same as (user, system): the system's part of a delivery is mostly TCP's, whoever writes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) / _TICK, int(fields[12]) / _TICK


def resident_bytes(pid: int) -> int:
    """Return a process's resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def stay_on_client_core() -> None:
    """Put this process, and all it starts from now on, on the client's core; nothing on a machine with one."""
    if CLIENT_CORE in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {CLIENT_CORE})


def move_to_server_core(pid: int) -> None:
    """Put a server on its own core."""
    if SERVER_CORE in os.sched_getaffinity(1):
        os.sched_setaffinity(pid, {SERVER_CORE})


def allow_files() -> int:
    """Raise the limit of open files as far as it goes; returns it. Children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(hard, FILES)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except (ValueError, OSError):  # not root
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return hard
    return wanted


def load() -> str:
    """Return the machine's load averages, for a line beside the figures."""
    return "load averages {:.2f} {:.2f} {:.2f}".format(*os.getloadavg())

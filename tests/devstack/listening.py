"""What a process listens on, by the kernel's own tables."""

from __future__ import annotations

import socket
from pathlib import Path


def tcp(pid: int) -> set[tuple[str, int]]:
    """Return the addresses and ports on which a process listens."""
    inodes, found = _sockets_of(pid), set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                host, _colon, port = fields[1].partition(":")
                found.add((_address(host), int(port, 16)))
    return found


def ports(pid: int) -> set[int]:
    """Return the TCP ports on which a process listens."""
    return {port for _address, port in tcp(pid)}


def sockets(pid: int) -> set[str]:
    """Return the paths of the unix sockets on which a process listens."""
    inodes = _sockets_of(pid)
    lines = (line.split() for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:])
    here = Path(f"/proc/{pid}/cwd").readlink()
    return {str(here / fields[7]) for fields in lines if len(fields) > 7 and f"socket:[{fields[6]}]" in inodes}


def _sockets_of(pid: int) -> set[str]:
    return {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}


def _address(text: str) -> str:
    """Read the kernel's hexadecimal address."""
    octets = bytes.fromhex(text)
    return socket.inet_ntop(socket.AF_INET, octets[::-1]) if len(octets) == 4 else text

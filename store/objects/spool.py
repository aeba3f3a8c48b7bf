"""The bytes of one part, on disk until they are sent: a slow phone's bytes cost no memory."""

from __future__ import annotations

import os
import tempfile
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from store.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# The least S3 takes for any part but the last.
PART_BYTES = 5 * 1024 * 1024
_PIECE_BYTES = 256 * 1024


class Spool:
    """Up to one part in a file without a name, which is gone with the process. `TMPDIR` says where."""

    def __init__(self, most: int = PART_BYTES) -> None:
        self._file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - closed by `close`
        self._most = most
        self.size = 0

    @property
    def is_full(self) -> bool:
        """Whether the part has all the bytes it may have."""
        return self.size == self._most

    def fill(self, data: memoryview) -> memoryview:
        """Take as much as there is room for; returns the rest. Raises `Unavailable` when the disk is full."""
        taken = data[: self._most - self.size]
        try:
            self._file.write(taken)
        except OSError as error:
            raise Unavailable("There is no room to take a file just now. Try again.", retry_after=30) from error
        self.size += len(taken)
        return data[len(taken) :]

    def body(self) -> IO[bytes]:
        """Lend the part to be sent, as far as sending needs a file; nothing may be added to it meanwhile."""
        return cast("IO[bytes]", SpoolBody(self._file, self.size))

    def head(self, size: int) -> bytes:
        """Return the first bytes, at most `size` of them."""
        self._file.flush()
        return os.pread(self._file.fileno(), min(size, self.size), 0)

    def copy(self) -> SpoolCopy:
        """Give another handle on the bytes here now, which stays open when this one is closed."""
        self._file.flush()
        return SpoolCopy(os.dup(self._file.fileno()), self.size)

    def clear(self) -> None:
        """Begin the next part."""
        self._file.seek(0)
        self.size = 0

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


class SpoolBody:
    """A part on its way out, a piece in memory at a time.

    botocore reads it as a file, to sign it and to begin again; aiohttp takes it as it iterates. A file it would read
    in a thread, 64 KiB at a time: 80 hops a part.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self.seek(0)

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        left = self._size - self.tell()
        return self._file.read(left if size < 0 else min(size, left))

    def seek(self, offset: int) -> int:
        """Go to a place."""
        return self._file.seek(offset)

    def tell(self) -> int:
        """Tell where it stands."""
        return self._file.tell()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield it from its beginning."""
        self.seek(0)
        while piece := self.read(_PIECE_BYTES):
            yield piece


class SpoolCopy:
    """A part for a reader in a thread of its own, however long that takes."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size

    def pour(self, pipe: IO[bytes]) -> None:
        """Write the part into a pipe, from its beginning, wherever the spool itself stands."""
        for at in range(0, self.size, _PIECE_BYTES):
            pipe.write(os.pread(self._descriptor, min(_PIECE_BYTES, self.size - at), at))
        pipe.flush()

    def close(self) -> None:
        """Let it go."""
        os.close(self._descriptor)

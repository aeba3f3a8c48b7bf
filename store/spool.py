"""The bytes of one part, on disk until they are sent: what a slow phone has sent so far costs no memory."""

from __future__ import annotations

import tempfile
from typing import BinaryIO, cast

from store.errors import Unavailable

# The least S3 takes for any part but the last.
PART_BYTES = 5 * 1024 * 1024


class Spool:
    """Up to one part in a file without a name, which is gone with the process. `TMPDIR` says where."""

    def __init__(self) -> None:
        self._file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - closed by `close`
        self.size = 0

    @property
    def is_full(self) -> bool:
        """Whether the part has all the bytes it may have."""
        return self.size == PART_BYTES

    def fill(self, data: memoryview) -> memoryview:
        """Take what there is room for; returns the rest. Raises `Unavailable` when the disk is full."""
        taken = data[: PART_BYTES - self.size]
        try:
            self._file.write(taken)
        except OSError as error:
            raise Unavailable("There is no room to take a file just now. Try again.", retry_after=30) from error
        self.size += len(taken)
        return data[len(taken) :]

    def read(self) -> bytes:
        """Return the part whole: for the moment in which it is sent."""
        self._file.seek(0)
        return self._file.read(self.size)

    def clear(self) -> None:
        """Begin the next part."""
        self._file.seek(0)
        self.size = 0

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

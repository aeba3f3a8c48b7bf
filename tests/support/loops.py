"""The loop of production, made so that a connection somebody forgot fails a test instead of holding it up for ever."""

import warnings

import uvloop


class CheckedLoop(uvloop.Loop):
    """uvloop that complains of what was left open once it is closed.

    It warns while it closes what is left; a warning that is an error keeps it from that, and it then waits without end.
    """

    def close(self) -> None:
        """Close everything, then warn."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            super().close()
        for warning in caught:
            warnings.warn(str(warning.message), warning.category, stacklevel=2)

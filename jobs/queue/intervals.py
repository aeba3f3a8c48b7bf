"""The times a worker lives by."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Intervals:
    """All in seconds."""

    lease_s: float = 60.0
    renew_s: float = 15.0  # three renewals may fail before a lease expires
    grace_s: float = 10.0  # for running jobs at shutdown
    sweep_s: float = 30.0
    poll_s: tuple[float, float] = (1.0, 2.0)  # between two looks without a wake
    deadline_s: float = 1800.0  # of one attempt

"""The errors of a job apart from its work.

JobError
+-- LeaseLost        the row is no longer ours: stop, write nothing
+-- JobCancelled     somebody asked for the job to stop
+-- UnknownJobType   nobody here knows how to do this
+-- TurnedOff        its tenant may not have it done at the moment
+-- OutOfTime        an attempt took longer than any may
+-- NoResult         the work ended without completing the job

`code` and `retryable` mean the same as on the errors of the work itself; `jobs/queue/retry.py` reads them.
"""

from typing import ClassVar

from config.flags import Flag


class JobError(Exception):
    """Base: `str(error)` is a plain sentence that may be shown to the contractor."""

    code: ClassVar[str] = "job_error"
    retryable: ClassVar[bool] = True


class LeaseLost(JobError):
    """The row is no longer ours."""

    code = "lease_lost"


class JobCancelled(JobError):
    """Somebody asked for the job to stop."""

    code = "cancelled"
    retryable = False


class UnknownJobType(JobError):
    """Nobody here knows how to do this."""

    code = "unknown_job_type"
    retryable = False

    def __init__(self, job_type: str) -> None:
        super().__init__(f"Unknown job type: {job_type}")


class TurnedOff(JobError):
    """Its tenant may not have it done at the moment: the job waits, and is rung for when the flag is on again."""

    code = "turned_off"
    retry_after_s = 600.0  # should nobody ring

    def __init__(self, flag: Flag) -> None:
        super().__init__(f"`{flag}` is off for this tenant; this waits until it is on again.")


class OutOfTime(JobError):
    """An attempt took longer than any may."""

    code = "out_of_time"


class NoResult(JobError):
    """The work ended without completing the job."""

    code = "no_result"

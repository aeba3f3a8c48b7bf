"""The effect of a database crash on a visit's numbers: they leap over any that were sent and then lost.

An epoch ends with the last event that survived a crash. A visit's `epoch_ends` are all of those: a client that was away
over two crashes may have seen events that the first of them took back.
"""

from collections.abc import Sequence

from realtime.protocol.events import Event

# As in scopekit.advance_epoch; tests/realtime/feed/test_crash.py holds the two together.
EPOCH_GAP = 2**20


def lost_in_crash(seq: int, epoch_ends: Sequence[int]) -> bool:
    """Whether a client that has seen `seq` has seen events that the database lost.

    The number right before the first after a leap was never sent: a stream may stand there that begins with that one.
    """
    return any(epoch_end < seq < epoch_end + EPOCH_GAP for epoch_end in epoch_ends)


def is_contiguous(position: int, rows: Sequence[Event]) -> bool:
    """Whether rows follow `position` and each other without a leap, so that no epoch ends between them.

    Within the lost range a leap is shorter than `EPOCH_GAP`; only that a number is missing cannot be mistaken.
    """
    return not rows or rows[-1].seq - position == len(rows)

"""What a crash of the database does to a visit's numbers: they leap over any that were told and then lost.

The table is torn after the last event that survived; migration 0014 tells why, and where the leap is made. A visit's
`tears` are all of those: whoever was away over two crashes may have seen what the first of them took back.
"""

from collections.abc import Sequence

from realtime.protocol.events import Event

# As in scopekit.tear_stream; tests/realtime/feed/test_crash.py holds the two together.
LEAP = 2**20


def told_in_vain(seq: int, tears: Sequence[int]) -> bool:
    """Whether a client that has seen `seq` has seen what the database lost.

    The number right before the first after a leap was never told: a stream may stand there that begins with that one.
    """
    return any(torn_after < seq < torn_after + LEAP for torn_after in tears)


def unbroken(position: int, rows: Sequence[Event]) -> bool:
    """Whether rows follow `position` and each other without a leap, so that no tear lies between.

    From within what was lost a leap is shorter than `LEAP`; only that a number is missing cannot be mistaken.
    """
    return not rows or rows[-1].seq - position == len(rows)

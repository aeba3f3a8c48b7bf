"""What a crash of the database does to a visit's numbers: they leap, once, over any that were told and then lost.

The table is torn after the last event that survived; migration 0014 tells why, and where the leap is made.
"""

# As in scopekit.tear_stream; tests/realtime/test_crash.py holds the two together.
LEAP = 2**20


def told_in_vain(seq: int, torn_after: int | None) -> bool:
    """Whether a client that has seen `seq` has seen what the database lost."""
    return torn_after is not None and torn_after < seq <= torn_after + LEAP


def leaps(before: int, after: int) -> bool:
    """Whether there is a tear between two events of which nothing lies between."""
    return after - before > LEAP

"""When each stream is let go, and when its client is told to come back. Pure: values in, values out."""

from random import Random

# A client comes back to the process that takes over, which needs a moment to be there.
RETRY_SECONDS = 1.0
JITTER_SECONDS = 1.0


def schedule(count: int, window_s: float, random: Random) -> list[tuple[float, int]]:
    """Return for each of `count` streams its close, in seconds from now, and its retry in milliseconds.

    The closes are even over the window, and the retry varies only within the room between two of them: a wider jitter
    would heap the reconnects up in the middle, to twice their mean when it is as wide as the window.
    """
    room = window_s / max(count, 1)
    jitter = min(room, JITTER_SECONDS)
    return [
        (room * number, round(1_000 * (RETRY_SECONDS + jitter * random.uniform(-0.5, 0.5)))) for number in range(count)
    ]

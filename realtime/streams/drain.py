"""When each stream is let go, and when its client is told to come back. Pure: values in, values out."""

from random import Random

# From the end of the window until the next process answers; 1.6 s on a quiet laptop, 5 on a busy one.
RESTART_SECONDS = 5.0
JITTER_SECONDS = 1.0


def schedule(count: int, window_s: float, random: Random) -> list[tuple[float, int]]:
    """Return for each of `count` streams its close, in seconds from now, and its retry in milliseconds.

    The retry outlasts the restart: a client that comes back before the next process answers may find a proxy's 502,
    which stops a browser's EventSource for good. So it is the window and the restart, the same for all. The closes are
    even over the window, and with them the reconnects: the retry varies only within the room between two closes, for a
    wider jitter would heap them up in the middle, to twice their mean when it is as wide as the window.
    """
    room = window_s / max(count, 1)
    jitter = min(room, JITTER_SECONDS)
    return [
        (room * number, round(1_000 * (window_s + RESTART_SECONDS + jitter * random.uniform(-0.5, 0.5))))
        for number in range(count)
    ]

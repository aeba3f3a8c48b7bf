"""When Python runs the cyclic garbage collector: rarely over young objects, by the clock over all."""

import asyncio
import gc
import time

# Python's own 700 and 10 have every few openings search all that is young, and a growing crowd all there is, again
# and again: a tenth of what an opening costs (perf, 10,000 streams), and pauses that every event waits for.
YOUNG_OBJECTS = 20_000
# Counted, a search of all would be due after hours, and find a gateway 4,000 blocks a minute larger by then.
NEVER = 1_000_000
EVERY_SECONDS = 60.0
SELDOM_SECONDS = 600.0
# Of the time; ten thousand streams take some 50 ms to search.
MOST_SHARE = 1 / 1000


async def collect_forever() -> None:
    """Freeze the objects made while starting, then collect the rest now and then, until cancelled.

    The frozen objects, 160,000 of them, took a worker 50 ms to search: time in which none of its jobs went on.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, NEVER, NEVER)
    took = 0.0
    while True:
        await asyncio.sleep(pause_s(took))
        began = time.thread_time()  # a machine that stood still has not searched
        gc.collect()
        took = time.thread_time() - began


def pause_s(took_s: float) -> float:
    """Return how long not to search, after a search that took so much of this thread's time."""
    return min(max(EVERY_SECONDS, took_s / MOST_SHARE), SELDOM_SECONDS)

"""What the model is fed with: what was measured, each with the command that did, and what is assumed."""

from dataclasses import dataclass

US = 1e-6
KB = 1000


@dataclass(frozen=True)
class Measured:
    """Seconds of CPU, bytes, and commits a second, on two cores of a shared machine."""

    # python -m benchmarks.realtime.idle --window 45 (10,000 streams); of opening the dearer of two quiet runs
    stream_bytes: float = 2.6 * KB
    heartbeat_s: float = 15.5 * US
    opening_s: float = 224 * US
    # python -m benchmarks.realtime.fanout --rounds 3 --events 100 (one event at a time, 1,000 subscribers)
    delivery_s: float = 3.8 * US
    # python -m benchmarks.realtime.latency --rounds 2 --seconds 0 (32 writers, one event a commit that waits for no
    # flush, a gateway beside them on the same two cores; that of the bus carries too)
    notify_commits: float = 2_726
    bus_commits: float = 6_854
    notify_word_s: float = 17.7 * US
    bus_word_s: float = 5.0 * US


@dataclass(frozen=True)
class Assumed:
    """How the product is used, and how much of a core is planned for."""

    streams_a_visit: float = 2.0
    events_a_visit_s: float = 0.05  # most pages are open and wait; a job at work tells one a second
    event_bytes: float = 400.0
    events_a_commit: float = 2.0  # progress is written in batches of what 50 ms bring, results one by one
    heartbeat_every_s: float = 30.0
    process_bytes: float = 120 * KB * KB  # a gateway without streams
    planned_core: float = 0.6  # beyond that waits grow faster than load
    process_streams: int = 20_000  # realtime.streams.stream_limits
    drain_s: float = 5.0  # DRAIN_SECONDS
    visits_a_query: int = 500  # realtime.feed.catchup
    queries_a_visit: int = 2  # that nobody watched, however many come back to it: tests/realtime/streams/test_storm.py
    entries_s: float = 120.0  # of a busy carrier, which looks every 5 ms and what a look and an entry take


MEASURED = Measured()
ASSUMED = Assumed()

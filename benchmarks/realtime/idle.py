"""What open streams cost while nothing happens: `python -m benchmarks.realtime.idle`.

One server after the other, on core 0: memory and CPU for opening 10,000 streams (at the gateway with the real token,
flag and visit check, two streams a visit), then CPU for each heartbeat over a window, and how much of that the server
would have taken without a stream. Targets: 4 KB, 200 us, 15 us.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.realtime.load import LoadClient, Wanted
from benchmarks.realtime.machine import allow_files, cpu_seconds, load, resident_bytes, stay_on_client_core
from benchmarks.realtime.peers import peers
from benchmarks.realtime.site import Server, Site, gateway, open_site

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

OPEN_SECONDS = 240.0
REST_SECONDS = 2.0
ALONE_SECONDS = 15.0
WARM_STREAMS = 50

Streams = Callable[[Server, list[int]], list[Wanted]]


@dataclass(frozen=True)
class Cost:
    """What one stream costs: bytes held, CPU seconds to open it and to send it a heartbeat, `alone` of which anyhow."""

    name: str
    held: float
    opening: float
    heartbeat: float
    alone: float
    heartbeats: int
    seconds: float


def measure(server: Server, warm: list[Wanted], wanted: list[Wanted], *, window_s: float) -> Cost:
    """Open all, look at the process, wait for heartbeats and look again."""
    with LoadClient.running(warm) as client:
        client.open_all(deadline_s=OPEN_SECONDS)
    time.sleep(REST_SECONDS)
    cpu = cpu_seconds(server.pid)
    time.sleep(ALONE_SECONDS)
    alone = (cpu_seconds(server.pid) - cpu) / ALONE_SECONDS
    memory, cpu, began = resident_bytes(server.pid), cpu_seconds(server.pid), time.monotonic()
    with LoadClient.running(wanted) as client:
        client.open_all(deadline_s=OPEN_SECONDS)
        took = time.monotonic() - began
        opening = (cpu_seconds(server.pid) - cpu) / client.size
        time.sleep(REST_SECONDS)
        held = (resident_bytes(server.pid) - memory) / client.size
        client.ask("reset")
        cpu = cpu_seconds(server.pid)
        time.sleep(window_s)
        spent, beats = cpu_seconds(server.pid) - cpu, client.ask("stats")["heartbeats"]
    return Cost(server.name, held, opening, spent / max(1, beats), alone * window_s / max(1, beats), beats, took)


def run(site: Site, streams: int, window_s: float) -> None:
    """Measure each server there is and print a line for each."""
    visits = [number % len(site.visits) for number in range(streams)]
    contests: list[tuple[Callable[[Site], AbstractContextManager[Server]], Streams]] = [
        (gateway, lambda server, numbers: site.streams(server.port, numbers)),
        (peers.obvious, lambda server, numbers: peers.watchers(server, numbers, site)),
    ]
    if peers.has_nchan():
        contests.append((peers.nchan, lambda server, numbers: peers.watchers(server, numbers, site)))
    else:
        print("nchan is skipped: apt-get install nginx-light libnginx-mod-nchan")
    for start, watch in contests:
        with start(site) as server:
            warm = watch(server, visits[:WARM_STREAMS])
            _print(measure(server, warm, watch(server, visits), window_s=window_s))


def _print(cost: Cost) -> None:
    print(
        f"  {cost.name:<8} {cost.held / 1024:6.2f} KB a stream   {cost.opening * 1e6:6.0f} us CPU to open "
        f"({cost.seconds:.1f} s for all)   {cost.heartbeat * 1e6:6.1f} us CPU a heartbeat, "
        f"{cost.alone * 1e6:.1f} of them anyhow ({cost.heartbeats:,} seen)",
        flush=True,
    )


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--window", type=float, default=60, help="seconds of heartbeats; each stream has one in 30 s")
    options = parser.parse_args()
    files = allow_files()
    streams = min(options.streams, files - 1_000)
    stay_on_client_core()
    print(f"{streams:,} streams; before: {load()}", flush=True)
    with open_site(visits=max(1, streams // 2), streams=streams + WARM_STREAMS) as site:
        run(site, streams, options.window)
    print(f"after: {load()}")


if __name__ == "__main__":
    main()

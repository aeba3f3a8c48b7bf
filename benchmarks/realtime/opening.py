"""What opening a stream costs: `python -m benchmarks.realtime.opening [--before CHECKOUT]`.

In each round the streams are opened, two of a visit, with the real token, flag and visit check, and closed again; the
figure is the gateway's CPU for each. With `--before`, a checkout of an older version over the same database, the two
take turns, and the ratio of their medians is printed. Target: 200 us.
"""

import argparse
import statistics
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from benchmarks.realtime.load import LoadClient, Wanted
from benchmarks.realtime.machine import cpu_seconds, load, stay_on_client_core
from benchmarks.realtime.site import Server, gateway, open_site
from tests.product import ROOT

OPEN_SECONDS = 120.0
REST_SECONDS = 1.0


def measure(server: Server, wanted: list[Wanted]) -> float:
    """Open all of them and return the server's CPU seconds for each."""
    time.sleep(REST_SECONDS)  # the last round's streams are being closed
    cpu = cpu_seconds(server.pid)
    with LoadClient.running(wanted) as client:
        client.open_all(deadline_s=OPEN_SECONDS)
        return (cpu_seconds(server.pid) - cpu) / client.size


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--before", type=Path, help="an older checkout, to be measured in turn with this one")
    parser.add_argument("--streams", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    checkouts = ({"before": options.before.resolve()} if options.before else {}) | {"now": ROOT}
    stay_on_client_core()
    print(f"{options.streams:,} streams; before: {load()}", flush=True)
    with ExitStack() as opened:
        site = opened.enter_context(open_site(visits=max(1, options.streams // 2), streams=options.streams))
        servers = {name: opened.enter_context(gateway(site, at)) for name, at in checkouts.items()}
        visits = [number % len(site.visits) for number in range(options.streams)]
        figures: dict[str, list[float]] = defaultdict(list)
        for number in range(options.rounds + 1):
            for name in servers if number % 2 == 0 else reversed(servers):
                cost = measure(servers[name], site.streams(servers[name].port, visits))
                if number > 0:  # the first round fills caches
                    figures[name].append(cost)
    medians = {name: statistics.median(costs) for name, costs in figures.items()}
    for name, costs in figures.items():
        print(
            f"  {name:<7} {medians[name] * 1e6:6.0f} us CPU to open ({min(costs) * 1e6:.0f} to {max(costs) * 1e6:.0f})"
        )
    if "before" in medians:
        print(f"  {medians['now'] / medians['before']:.2f} x before")
    print(f"after: {load()}")


if __name__ == "__main__":
    main()

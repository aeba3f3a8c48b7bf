"""What up to 1,000,000 open streams take, and what gives first: `python -m benchmarks.scale`."""

import argparse
from random import Random

from benchmarks.scale.figures import ASSUMED, MEASURED
from benchmarks.scale.model import Bus, Fleet, ceilings, lines
from benchmarks.scale.storm import Gateways, Outcome, Patience, cut_off, drained, simulate

STREAMS = (1_000, 10_000, 100_000, 1_000_000)
BUSES: tuple[Bus, ...] = ("notify", "redis")


def main() -> None:
    """Print the tables and the storms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"{MEASURED}\n{ASSUMED}")
    for bus in BUSES:
        print(f"\nEVENT_BUS={bus}")
        print("\n".join(lines([Fleet(streams, bus) for streams in STREAMS])))
        for ceiling in ceilings(bus):
            print(f"gives at {ceiling.streams:>11,} streams: {ceiling.name}")
    random = Random(options.seed)
    for streams in STREAMS[1:]:
        storms(Fleet(streams, "redis"), random)


def storms(fleet: Fleet, random: Random) -> None:
    """Print what a restart of one gateway and the death of all cost the clients of this fleet."""
    count, measured = int(fleet.gateways), fleet.measured
    busy = (fleet.heartbeat_cores + fleet.fanout_cores) / count + fleet.hearing
    print(f"\n{fleet.streams:,} streams on {count} gateways, each {busy:.0%} busy besides")
    for window_s in (1.0, fleet.assumed.drain_s, 30.0):
        others = Gateways(max(1, count - 1), busy, measured.opening_s)
        asking = drained(fleet.streams // count, window_s, random)
        told(f"one drains over {window_s:.0f} s", simulate(asking, others, Patience(), random))
    for times in (1, 2, 4):
        heirs = Gateways(count * times, busy / times, measured.opening_s)
        outcome = simulate(cut_off(fleet.streams, random), heirs, Patience(), random)
        told(f"all die, {count * times} come back", outcome)


def told(what: str, outcome: Outcome) -> None:
    """Print a line."""
    print(
        f"  {what:<24} streams again within p50 {outcome.at(0.5):6.3f} s, p99 {outcome.at(0.99):6.3f}, "
        f"max {outcome.waits[-1]:6.3f}; {outcome.asked_again:,} asked again, over after {outcome.over_after_s:.1f} s"
    )


if __name__ == "__main__":
    main()

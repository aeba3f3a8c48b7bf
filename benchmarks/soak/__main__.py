"""Mixed traffic for minutes, and a verdict: `python -m benchmarks.soak [--minutes 10] [--streams 2000]`.

Real gateways and workers over real, durable servers. First a minute of everything, then rest, then so many minutes of
the same, then rest again. Wrong is: an answer with another status than it should have, an event lost, doubled or out of
order, an error in a log, anything that is held at the second rest and was not at the first (tasks, descriptors,
connections, spools, keys, uploads), memory that grows on, and a table that grows while nothing bounds it. Then the exit
code is 1.
"""

import argparse
import asyncio
import sys

from benchmarks.realtime.machine import allow_files, load
from benchmarks.soak.house import House, standing
from benchmarks.soak.people.material import Material
from benchmarks.soak.samples.watch import Watch
from benchmarks.soak.soak import Soak

TENANTS = 4


async def soak(house: House, material: Material, options: argparse.Namespace) -> list[str]:
    """Run it; returns what was wrong."""
    async with Watch.open(house) as watch:
        soak = Soak(house, watch, material, options.seed)
        await soak.run(warm_up_s=options.warm_up * 60, seconds=options.minutes * 60, streams=options.streams)
        return soak.wrong


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--warm-up", type=float, default=1, help="minutes")
    parser.add_argument("--streams", type=int, default=2_000)
    parser.add_argument("--visits", type=int, default=500, help="that the streams watch")
    parser.add_argument("--gateways", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    allow_files()
    material = Material.make()
    print(f"seed {options.seed}; {load()}", flush=True)
    size = {name: getattr(options, name) for name in ("visits", "streams", "gateways", "workers")}
    with standing(**size, tenants=TENANTS) as house:
        wrong = asyncio.run(soak(house, material, options))
    print(load())
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

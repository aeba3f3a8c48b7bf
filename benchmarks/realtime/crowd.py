"""Many clients at once: some stall, all are sent away, all come back: `python -m benchmarks.realtime.crowd`.

Real gateway processes and the C client. Targets: 1 % stalled of 2,000 cost the others 1 ms at p99; a drain of 2,000
over 5 s is out within 6 s, its clients come back without a peak of 1.5 x the mean and miss nothing; 5,000 who resume
at once are two queries a visit.
"""

import argparse
import asyncio
import re
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeAlias

import asyncpg

from benchmarks.realtime.latency import Publisher
from benchmarks.realtime.load import LoadClient
from benchmarks.realtime.machine import cpu_seconds, load, stay_on_client_core
from benchmarks.realtime.site import Site, gateway, gateway_process, heads, open_site
from tests.product import free_port, wait_until_ready

Part: TypeAlias = Callable[[Site], None]

CLIENTS, RETURNING = 2_000, 5_000
VISITS, CROWDED_VISITS = 500, 40
STALLED = 20
RATE = 50.0
WINDOW_SECONDS = 5
MISSED = 20
DEADLINE_SECONDS = 120.0
QUERY = re.compile(r"scopekit\.(open_streams|events_after|stream_heads|strangers)\(")


def stalls(site: Site, rounds: int, seconds: float) -> None:
    """Take turns: everybody reads, and 20 of 2,000 read nothing."""
    taken: dict[bool, list[float]] = {False: [], True: []}
    with gateway(site) as server:
        streams = site.streams(server.port, [number % CROWDED_VISITS for number in range(CLIENTS)])
        with LoadClient.running(streams, "--reconnect", "--rcvbuf", "16384") as client:
            client.open_all(deadline_s=DEADLINE_SECONDS)
            _publish(site, 2)  # warm
            for number in range(2 * rounds):
                stalled = number % 2 == 1
                if stalled:
                    client.ask(f"stall 0 {STALLED}")
                client.ask("reset")
                _publish(site, seconds)
                taken[stalled].append(client.ask("stats")["p99"])
                client.ask(f"drain 0 {STALLED}")
                _publish(site, 1)
    without, with_them = (statistics.median(taken[stalled]) for stalled in (False, True))
    cost = with_them - without
    print(
        f"stalled: p99 of the others {with_them:.2f} ms with {STALLED} of {CLIENTS:,} stalled, {without:.2f} without "
        f"({_all(taken[True])} against {_all(taken[False])}): {cost:+.2f} ms, {'met' if cost <= 1 else 'MISSED'}",
        flush=True,
    )


def drain(site: Site) -> None:
    """Send everybody from one gateway to another while events go on."""
    first, second = free_port(), free_port()
    with ExitStack() as running:
        leaving = running.enter_context(gateway_process(site, first, DRAIN_SECONDS=str(WINDOW_SECONDS)))
        taking_over = running.enter_context(gateway_process(site, second))
        for port, process in ((first, leaving), (second, taking_over)):
            wait_until_ready(f"http://127.0.0.1:{port}", process, site.directory / "gateway.log")
        streams = site.streams(first, [number % CROWDED_VISITS for number in range(CLIENTS)])
        options = ("--reconnect", "--next-port", str(second))
        client = running.enter_context(LoadClient.running(streams, *options))
        client.open_all(deadline_s=DEADLINE_SECONDS)
        _publish(site, 1)
        began = time.monotonic()
        leaving.send_signal(signal.SIGTERM)
        _publish(site, WINDOW_SECONDS - 1)
        leaving.wait(DEADLINE_SECONDS)
        exited = time.monotonic() - began
        _publish(site, 3)
        client.wait_for("ready", CLIENTS, deadline_s=DEADLINE_SECONDS)
        client.mark(asyncio.run(_heads(site)))
        stats = _when_level(client)
        returns = client.ask("returns")
    peak = _peak(returns)
    wrong = stats["lost"] + stats["doubled"] + stats["reordered"] + stats["behind"]
    print(
        f"drain: {stats['named_drain']:,} of {CLIENTS:,} told over {WINDOW_SECONDS} s, out after {exited:.2f} s "
        f"({'met' if exited <= WINDOW_SECONDS + 1 else 'MISSED'}); {len(returns):,} back within "
        f"{(returns[-1] - returns[0]) / 1000:.1f} s, the fullest tenth {peak:.2f} x the mean "
        f"({'met' if peak <= 1.5 else 'MISSED'}); {wrong} missed or wrong ({'met' if not wrong else 'MISSED'})",
        flush=True,
    )


def storm(site: Site) -> None:
    """Let everybody resume at once, each with events to be given; the database writes down what it is asked."""
    asyncio.run(_fill(site, MISSED + 10))
    with gateway(site) as server:
        streams = site.streams(server.port, [number % VISITS for number in range(RETURNING)])
        with LoadClient.running(streams, "--from", "10", "--opening", "1000") as client:
            before, cpu, began = _queries(site), cpu_seconds(server.pid), time.monotonic()
            client.ask("open")
            client.wait_for("deliveries", RETURNING * MISSED, deadline_s=DEADLINE_SECONDS)
            took, spent = time.monotonic() - began, cpu_seconds(server.pid) - cpu
            queries = _queries(site) - before
            stats = client.ask("stats")
    wrong = stats["lost"] + stats["doubled"] + stats["reordered"]
    print(
        f"storm: {RETURNING:,} resumed {VISITS} visits in {took:.1f} s, {spent / RETURNING * 1e6:.0f} us CPU each, "
        f"{_told(queries)}, {queries.total() / VISITS:.2f} a visit "
        f"({'met' if queries.total() <= 2 * VISITS else 'MISSED'}); "
        f"{stats['deliveries']:,} missed events given, {wrong} wrong",
        flush=True,
    )


def _publish(site: Site, seconds: float) -> None:
    asyncio.run(Publisher(site, CROWDED_VISITS).run(RATE, seconds))


def _when_level(client: LoadClient) -> dict[str, int]:
    until = time.monotonic() + DEADLINE_SECONDS
    while client.ask("behind")["behind"] and time.monotonic() < until:
        time.sleep(0.05)
    stats: dict[str, int] = client.ask("stats")
    return stats


def _peak(returns: list[int]) -> float:
    """Return how much fuller than the mean the fullest tenth of the time is."""
    span = returns[-1] - returns[0] + 1
    tenths = Counter((at - returns[0]) * 10 // span for at in returns)
    return max(tenths.values()) / (len(returns) / 10)


def _all(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


async def _heads(site: Site) -> list[int]:
    connection = await asyncpg.connect(site.services.admin_url)
    try:
        return await heads(site, connection)
    finally:
        await connection.close()


async def _fill(site: Site, events: int) -> None:
    connection = await asyncpg.connect(site.services.admin_url)
    try:
        await connection.execute("ALTER ROLE scopekit_gateway SET log_statement = 'all'")
        await connection.execute(
            "INSERT INTO processing_events (visit_id, type) "
            "SELECT visit, 'step.completed' FROM unnest($1::uuid[]) AS visit, generate_series(1, $2)",
            site.visits[:VISITS],
            events,
        )
    finally:
        await connection.close()


def _queries(site: Site) -> Counter[str]:
    """Count the relay's queries so far, by the server's own log."""
    return Counter(QUERY.findall((site.directory / "stack" / "logs" / "postgres.log").read_text()))


def _told(queries: Counter[str]) -> str:
    return f"{queries.total():,} queries (" + ", ".join(f"{count} {name}" for name, count in queries.items()) + ")"


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=4, help="of stalled readers")
    parser.add_argument("--seconds", type=float, default=6, help="of events in each half of a round")
    parser.add_argument("--only", choices=["stalls", "drain", "storm"])
    options = parser.parse_args()
    stay_on_client_core()
    print(f"before: {load()}", flush=True)
    # Each part on a site of its own: what one leaves behind is no load on the next.
    parts: dict[str, tuple[int, int, Part]] = {
        "stalls": (CROWDED_VISITS, CLIENTS, lambda site: stalls(site, options.rounds, options.seconds)),
        "drain": (CROWDED_VISITS, CLIENTS, drain),
        "storm": (VISITS, RETURNING, storm),
    }
    for name, (visits, streams, part) in parts.items():
        if options.only in (None, name):
            with open_site(visits=visits, streams=streams) as site:
                part(site)
    print(f"after: {load()}")


if __name__ == "__main__":
    main()

"""Deliveries per server CPU-second, one visit with 1,000 subscribers: `python -m benchmarks.realtime.fanout`.

The gateway, nginx with nchan, the obvious relay and a bare loop of write(2) in C stand side by side with their
subscribers connected, and take turns: in each round each passes on the same number of events, once one at a time (the
next when everybody has the last) and once in bursts. Servers have core 0, everything else has core 1. With `--before`,
the gateway of an older checkout takes turns with them.

Targets: 1.35 x nchan, 5 x the obvious one, 0.8 x the loop. The loop is given a burst in one piece, so there it is a
bound and no target.
"""

import argparse
import asyncio
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg

from benchmarks.realtime.load import LoadClient
from benchmarks.realtime.machine import cpu_split, load, stay_on_client_core
from benchmarks.realtime.peers import peers
from benchmarks.realtime.site import Connection, Server, Site, gateway, open_site

INSERT = """
INSERT INTO processing_events (visit_id, tenant_id, type, payload)
VALUES ($1, $2, 'step.completed', jsonb_build_object('t', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
        'step', 'transcribe', 'done', $3::int, 'total', 100, 'message', 'Heard a recording of the kitchen'))
RETURNING seq
"""
TARGETS = {"nchan": 1.35, "obvious": 5.0, "loop": 0.8}
DEADLINE_SECONDS = 120.0

Publish = Callable[[int], None]


@dataclass(frozen=True)
class Contestant:
    """A server, its subscribers, and how a burst of events reaches it."""

    server: Server
    client: LoadClient
    publish: Publish


@dataclass(frozen=True)
class Cost:
    """CPU of the server per delivery, in microseconds."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """Both."""
        return self.user + self.system


def measure(contestant: Contestant, *, bursts: int, size: int) -> Cost:
    """Return what a delivery costs the server."""
    contestant.client.ask("reset")
    user, system = cpu_split(contestant.server.pid)
    for number in range(1, bursts + 1):
        contestant.publish(size)
        target = number * size * contestant.client.size
        contestant.client.wait_for("deliveries", target, deadline_s=DEADLINE_SECONDS)
    user_now, system_now = cpu_split(contestant.server.pid)
    stats = contestant.client.ask("stats")
    wrong = stats["lost"] + stats["doubled"] + stats["reordered"]
    if wrong:
        raise SystemExit(f"{contestant.server.name}: not every event once and in order: {stats}")
    unit = 1e6 / stats["deliveries"]
    return Cost((user_now - user) * unit, (system_now - system) * unit)


class Publisher:
    """Inserts events, each in a transaction of its own; for nchan it also posts what the database made of them."""

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        self._site = site
        self._loop = loop
        self._connection = connection

    def to(self, visit: int, poster: peers.Poster | None = None) -> Publish:
        """Return what publishes a burst of events of this visit."""

        def publish(size: int) -> None:
            burst = self._loop.run_until_complete(self._insert(visit, size, read=poster is not None))
            if poster is not None:
                poster.post(str(self._site.visits[visit]), burst)

        return publish

    async def _insert(self, visit: int, size: int, *, read: bool) -> list[tuple[int, str]]:
        visit_id, tenant_id = self._site.visits[visit], self._site.tenant_of(visit).id
        seqs = [await self._connection.fetchval(INSERT, visit_id, tenant_id, number) for number in range(size)]
        if not read:
            return []
        rows = await self._connection.fetch(
            "SELECT seq, document FROM scopekit.events_after($1, $2, $3)", visit_id, seqs[0] - 1, size
        )
        return [(row["seq"], row["document"]) for row in rows]


@contextmanager
def contestants(site: Site, subscribers: int, before: Path | None) -> Iterator[list[Contestant]]:
    """Start every server there is, with its subscribers."""
    with ExitStack() as opened:
        loop = asyncio.new_event_loop()
        opened.callback(loop.close)
        connection = loop.run_until_complete(asyncpg.connect(site.services.admin_url))
        opened.callback(lambda: loop.run_until_complete(connection.close()))
        publisher = Publisher(site, loop, connection)
        yield [
            _connect(opened, site, server, visit, subscribers, publisher)
            for visit, server in enumerate(_servers(opened, site, before))
        ]


def _servers(opened: ExitStack, site: Site, before: Path | None) -> list[Server]:
    servers = [opened.enter_context(each(site)) for each in (gateway, peers.obvious, peers.loop)]
    if before is not None:
        servers.append(replace(opened.enter_context(gateway(site, before.resolve())), name="before"))
    if peers.has_nchan():
        servers.append(opened.enter_context(peers.nchan(site)))
    else:
        print("nchan is skipped: apt-get install nginx-light libnginx-mod-nchan")
    return servers


def _connect(  # noqa: PLR0913, PLR0917 - what a contestant is made of
    opened: ExitStack, site: Site, server: Server, visit: int, subscribers: int, publisher: Publisher
) -> Contestant:
    visits = [visit] * subscribers
    ours = server.name in {"gateway", "before"}
    wanted = site.streams(server.port, visits) if ours else peers.watchers(server, visits, site)
    client = opened.enter_context(LoadClient.running(wanted))
    client.open_all(deadline_s=DEADLINE_SECONDS)
    poster = None
    if server.name in {"nchan", "loop"}:
        poster = peers.Poster(server)
        opened.callback(poster.close)
    return Contestant(server, client, publisher.to(visit, poster))


def compete(field: list[Contestant], *, rounds: int, events: int, burst: int) -> None:
    """Take turns and print the table."""
    taken: dict[tuple[str, int], list[Cost]] = defaultdict(list)
    for contestant in field:
        measure(contestant, bursts=10, size=1)  # warm
    for number in range(rounds):
        for contestant in field[number % len(field) :] + field[: number % len(field)]:
            for size in (1, burst):
                taken[contestant.server.name, size].append(
                    measure(contestant, bursts=max(1, events // size), size=size)
                )
    for size in (1, burst):
        _print_table(size, {c.server.name: taken[c.server.name, size] for c in field})


def _print_table(size: int, taken: dict[str, list[Cost]]) -> None:
    print(f"\nevents {'one at a time' if size == 1 else f'in bursts of {size}'}: server CPU per delivery")
    ours = statistics.median(cost.total for cost in taken["gateway"])
    for name, costs in taken.items():
        values = [cost.total for cost in costs]
        middle, system = statistics.median(values), statistics.median(cost.system for cost in costs)
        line = (
            f"  {name:<8} {middle:6.2f} us ({min(values):.2f}-{max(values):.2f}), {system:5.2f} of it in the kernel  "
            f"{1e6 / middle:9,.0f} a CPU-second"
        )
        if name in TARGETS and not (name == "loop" and size > 1):
            ratio = middle / ours
            line += (
                f"  gateway is {ratio:.2f} x; target {TARGETS[name]} {'met' if ratio >= TARGETS[name] else 'MISSED'}"
            )
        print(line)


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--before", type=Path, help="an older checkout, to be measured in turn with this one")
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=200, help="in each round, for each server")
    parser.add_argument("--burst", type=int, default=10)
    options = parser.parse_args()
    stay_on_client_core()
    print(f"before: {load()}")
    with (
        open_site(visits=5, streams=options.subscribers) as site,
        contestants(site, options.subscribers, options.before) as field,
    ):
        compete(field, rounds=options.rounds, events=options.events, burst=options.burst)
    print(f"\nafter: {load()}")


if __name__ == "__main__":
    main()

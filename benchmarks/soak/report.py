"""The soak's figures, for people."""

from collections.abc import Mapping, Sequence

from benchmarks.soak.ledger import Ledger
from benchmarks.soak.samples.judgement import Growth
from benchmarks.soak.samples.sample import Sample
from benchmarks.soak.samples.tables import RETENTION, Size

MOST_TOLD = 40


def tell_requests(ledger: Ledger, seconds: float) -> None:
    """Print a line for each kind of request."""
    print(f"\n{'requests':<44}{'number':>8}{'a second':>10}{'p50 ms':>10}{'p99 ms':>10}  answers")
    for line in ledger.lines(seconds):
        times = f"{line.p50:>10.1f}{line.p99:>10.1f}"
        print(f"  {line.kind:<42}{line.number:>8,}{line.a_second:>10.2f}{times}  {line.statuses}")


def tell_growths(growths: Sequence[Growth]) -> None:
    """Print a line for each process's memory, and for its objects."""
    print(f"\n{'MiB without events kept, blocks of Python':<44}{'fresh':>10}{'warm':>10}{'end':>10}{'a minute':>12}")
    for growth in growths:
        name = f"{growth.who} ({growth.what})"
        verdict = "LEAKS" if growth.leaks else "" if growth.most == float("inf") else "flat"
        print(
            f"  {name:<42}{growth.fresh:>10,.1f}{growth.warm:>10,.1f}{growth.end:>10,.1f}"
            f"{growth.a_minute:>+12,.2f}  {verdict}"
        )


def tell_held(fresh: Sample, warm: Sample, run: Sequence[Sample], end: Sample) -> None:
    """Print what was held at rest, and at most in between."""
    print(f"\n{'held':<54}{'fresh':>8}{'warm':>8}{'at most':>9}{'end':>8}")
    for who, what in sorted({*warm.held, *end.held}):
        counts = [sample.held.get((who, what), 0) for sample in (fresh, warm)]
        most = max(sample.held.get((who, what), 0) for sample in run)
        last = end.held.get((who, what), 0)
        print(f"  {who + ': ' + what:<52}{counts[0]:>8,}{counts[1]:>8,}{most:>9,}{last:>8,}")


def tell_tables(before: Mapping[str, Size], after: Mapping[str, Size]) -> None:
    """Print the tables that grew, and what bounds them."""
    print(f"\n{'tables that grew':<30}{'rows':>10}{'MiB':>8}  kept")
    for name, size in sorted(after.items()):
        if size.rows > before[name].rows:
            print(f"  {name:<28}{size.rows:>10,}{size.mib:>8.1f}  {RETENTION.get(name, 'NOBODY SAYS')}")


def tell_wrong(wrong: Sequence[str]) -> None:
    """Print what is wrong, in words."""
    print(f"\nwrong: {len(wrong)}")
    for text in wrong[:MOST_TOLD]:
        print(f"  {text}")

"""Runs the table only when it is asked for, and prints it."""

import os
from collections import defaultdict

import pytest

from tests.browser.conftest import browser

__all__ = ["browser"]

ASKED_FOR = "SCOPEKIT_INTEROP"
TABLE: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what takes minutes unless `make interop` asks for it."""
    if not os.environ.get(ASKED_FOR):
        for item in items:
            if "/tests/proxies/" in str(item.path):
                item.add_marker(pytest.mark.skip(reason="make interop"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a row for each proxy and client, a column for each fault."""
    if not TABLE:
        return
    faults = list(dict.fromkeys(fault for row in TABLE.values() for fault in row))
    terminalreporter.section("clients x proxies x faults: events lost, doubled or out of order")
    terminalreporter.write_line("  ".join(name.ljust(22) for name in ("proxy", "client", *faults)))
    for (proxy, client), row in sorted(TABLE.items()):
        cells = (proxy, client, *(row.get(fault, "-") for fault in faults))
        terminalreporter.write_line("  ".join(cell.ljust(22) for cell in cells))

"""Metrics of the Python process: its asyncio tasks by name, and the blocks of memory its objects take.

A leak shows here hours before memory does: both should come back to where they were whenever traffic ends.
"""

import asyncio
import re
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

# asyncio's own numbering: as a label it would make a new series for every request.
_NUMBERED = re.compile(r"Task-\d+")


class RuntimeMetrics(Collector):
    """The numbers of one process as they were when it last looked."""

    def __init__(self) -> None:
        self._tasks: Counter[str] = Counter()

    def refresh(self) -> None:
        """Count the tasks of the running loop; in the loop, because elsewhere they change while they are counted."""
        self._tasks = Counter(map(_name, asyncio.all_tasks()))

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Give both families."""
        tasks = GaugeMetricFamily(
            "scopekit_asyncio_tasks", "Tasks of the event loop, by name or by what they run.", labels=["name"]
        )
        for name, count in sorted(self._tasks.items()):
            tasks.add_metric([name], count)
        yield tasks
        yield GaugeMetricFamily(
            "scopekit_python_blocks", "Blocks of memory that Python's objects take.", value=sys.getallocatedblocks()
        )


def _name(task: "asyncio.Task[Any]") -> str:
    if not _NUMBERED.fullmatch(task.get_name()):
        return task.get_name()
    runs: Any = task.get_coro()
    return str(getattr(runs, "__qualname__", type(runs).__name__))

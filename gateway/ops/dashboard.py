"""The operators' page as it stands: read at most once a second, however many look, and drawn section by section."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from config.flags import REGISTRY, Flag, is_on
from gateway.context import context_of
from gateway.ops.charts import Chart, Series, chart
from store.ops import ops
from store.ops.ops import OpsSnapshot
from store.pool import Database

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request

# Between two readings; thirteen queries, most of them by an index.
FRESH_SECONDS = 1.0
SAMPLE_GAP = timedelta(seconds=100)
MINUTE_GAP = timedelta(minutes=3)
HOUR = timedelta(hours=1)

SECTIONS = ("figures", "depth", "speed", "kinds", "dead", "switches", "processes", "flags", "usage", "actions")


class OpsDashboard:
    """Reads the figures for an operator, and draws them."""

    def __init__(self, db: Database, environment: "Environment") -> None:
        self._db = db
        self._environment = environment
        self._reading = asyncio.Lock()
        self._drawn: dict[str, str] = {}
        self._drawn_at = float("-inf")
        self._stale = asyncio.Event()

    async def sections(self, claims: Mapping[str, Any]) -> dict[str, str]:
        """Return the HTML of every section, at most a second old. Raises `Unavailable`."""
        async with self._reading:
            if time.monotonic() - self._drawn_at >= FRESH_SECONDS:
                self._stale.clear()
                began = time.monotonic()
                async with self._db.as_operator(claims) as conn:
                    snapshot = await ops.read_snapshot(conn)
                self._drawn = self._draw(snapshot)
                # Something done meanwhile may be missing from it.
                self._drawn_at = float("-inf") if self._stale.is_set() else began
        return self._drawn

    def changed(self) -> None:
        """Have it read again now: an operator has done something."""
        self._drawn_at = float("-inf")
        self._stale.set()

    async def until_due(self, seconds: float) -> None:
        """Wait until it is time to look again, or something was done."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stale.wait()

    def _draw(self, snapshot: OpsSnapshot) -> dict[str, str]:
        words = {
            "snapshot": snapshot,
            "figures": _figures(snapshot),
            "depth": _depth(snapshot),
            "speed": _speed(snapshot),
            "letters": _letters_by_cause(snapshot),
            "flags": list(Flag),
            "registry": REGISTRY,
            "is_on": is_on,
            "ago": ago,
            "killed": {row["name"]: row for row in snapshot.killed},
            "most_mb": max([float(row["total_mb"]) for row in snapshot.usage], default=0) or 1,
        }
        return {name: self._environment.get_template(f"ops/{name}.html").render(words) for name in SECTIONS}


def dashboard_of(request: "Request") -> OpsDashboard:
    """Return the dashboard of the application that serves this request."""
    state = request.app.state
    if not hasattr(state, "ops_board"):
        context = context_of(request)
        state.ops_board = OpsDashboard(context.db, context.templates.env)
    dashboard: OpsDashboard = state.ops_board
    return dashboard


def ago(seconds: float) -> str:
    """Say how long something lasts, as short as it can be said."""
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {name}"
    return f"{max(seconds, 0):.0f} s"


def _figures(snapshot: OpsSnapshot) -> dict[str, Any]:
    minutes = [row for row in snapshot.minutes if snapshot.now - row["minute"] < HOUR]
    done = sum(row["completed"] for row in minutes)
    return {
        "done": done,
        "p95": max((row["p95_seconds"] for row in minutes), default=None),
        "streams": sum(row["load"].get("streams", 0) for row in snapshot.processes),
        "gateways": sum(row["kind"] == "gateway" for row in snapshot.processes),
        "workers": sum(row["kind"] == "worker" for row in snapshot.processes),
    }


def _depth(snapshot: OpsSnapshot) -> Chart:
    """Draw the recorded values, and the current one as their end."""
    series = []
    for status, name in (("queued", "Waiting"), ("running", "Running")):
        points = [(row["at"], float(row[status])) for row in snapshot.samples]
        points.append((snapshot.now, float(snapshot.depths[status]["depth"])))
        series.append(Series(name, points, SAMPLE_GAP))
    return chart(series, snapshot.now, ops.BACK, least_top=5)


def _speed(snapshot: OpsSnapshot) -> Chart:
    def points(column: str) -> list[tuple[datetime, float]]:
        return [(row["minute"], float(row[column])) for row in snapshot.minutes]

    series = (Series("p95", points("p95_seconds"), MINUTE_GAP), Series("p50", points("p50_seconds"), MINUTE_GAP))
    return chart(series, snapshot.now, HOUR)


def _letters_by_cause(snapshot: OpsSnapshot) -> dict[tuple[str, str, str], list[Any]]:
    found: dict[tuple[str, str, str], list[Any]] = {}
    for row in snapshot.letters:
        found.setdefault((row["job_type"], row["error_code"], row["cause"]), []).append(row)
    return found

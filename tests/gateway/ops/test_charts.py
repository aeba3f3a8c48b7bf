"""Curves: where a value lies, where a line breaks, and what the scale says."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.ops.charts import Series, ceiling, chart

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def _at(minutes_ago: float, value: float) -> tuple[datetime, float]:
    return NOW - timedelta(minutes=minutes_ago), value


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (0.03, 0.05), (1, 1), (1.01, 2), (3, 5), (7, 10), (100, 100), (101, 200)]
)
def test_a_scale_ends_at_a_round_number(value: float, top: float) -> None:
    """1, 2 or 5 of a power of ten, never below what it shows."""
    assert ceiling(value) == pytest.approx(top)


def test_values_lie_where_they_belong() -> None:
    """From left to right in time, and upside down, as SVG has it."""
    drawn = chart([Series("x", [_at(60, 0), _at(30, 5), _at(0, 10)], HOUR)], NOW, HOUR)
    (curve,) = drawn.curves
    assert curve.line == "M0 100L500 50L1000 0"
    assert curve.area == "M0 100L0 100L500 50L1000 0L1000 100Z"
    assert (drawn.top, curve.latest) == (10, 10)
    assert (drawn.times[0], drawn.times[-1]) == (NOW - HOUR, NOW)


def test_a_line_breaks_where_nothing_was_measured() -> None:
    """Two strokes, and a dot for the point that stands alone; nothing is made up in between."""
    drawn = chart([Series("x", [_at(60, 1), _at(59, 1), _at(30, 1)], 2 * MINUTE)], NOW, HOUR)
    (curve,) = drawn.curves
    assert curve.line.count("M") == 2
    assert curve.dots == "M0 0h0M16.7 0h0M500 0h0"


def test_what_is_older_than_the_drawing_is_left_out() -> None:
    """And an empty one says so."""
    drawn = chart([Series("x", [_at(61, 1000)], MINUTE)], NOW, HOUR)
    assert (drawn.is_empty, drawn.top, drawn.curves[0].latest) == (True, 1, None)

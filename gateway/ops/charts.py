"""Curves over time as SVG paths: values in, shapes out. Words stand beside the drawing, which is stretched.

Every drawing is 1000 wide and 100 high; strokes keep their width when it is stretched, and a stroke of
no length with round ends is a dot.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

WIDTH, HEIGHT = 1000, 100
# 1, 2, 5 of each power of ten: scales that a person halves in the head.
STEPS = (1, 2, 5, 10)
TICKS = 4


@dataclass(frozen=True)
class Series:
    """One thing that was measured, in order of time. `gap` is how far apart two points may be and still be joined."""

    name: str
    points: Sequence[tuple[datetime, float]]
    gap: timedelta


@dataclass(frozen=True)
class Curve:
    """A series as it is drawn: its line, the dots on it, and the space under it."""

    name: str
    line: str
    dots: str
    area: str
    latest: float | None


@dataclass(frozen=True)
class Chart:
    """Curves on one scale, from `times[0]` to `times[-1]` and from 0 to `top`."""

    curves: tuple[Curve, ...]
    top: float
    times: tuple[datetime, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not any(curve.line for curve in self.curves)


def chart(series: Sequence[Series], now: datetime, back: timedelta, least_top: float = 1) -> Chart:
    """Draw the measurements since `now - back`."""
    begin = now - back
    top = ceiling(max([least_top, *(value for one in series for at, value in one.points if at >= begin)]))
    times = tuple(begin + back * tick / TICKS for tick in range(TICKS + 1))
    return Chart(tuple(_curve(one, begin, back, top) for one in series), top, times)


def ceiling(value: float) -> float:
    """Return the lowest round number that is not below `value`."""
    if value <= 0:
        return 1
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in STEPS if step * power >= value * (1 - 1e-9))


def _curve(series: Series, begin: datetime, back: timedelta, top: float) -> Curve:
    points = [(at, value) for at, value in series.points if at >= begin]
    strokes: list[list[str]] = []
    areas: list[str] = []
    last: datetime | None = None
    for at, value in points:
        x, y = round((at - begin) / back * WIDTH, 1), round(HEIGHT - value / top * HEIGHT, 1)
        if last is None or at - last > series.gap:
            strokes.append([])
        strokes[-1].append(f"{x:g} {y:g}")
        last = at
    for stroke in strokes:
        first, end = stroke[0].split()[0], stroke[-1].split()[0]
        areas.append(f"M{first} {HEIGHT}L{'L'.join(stroke)}L{end} {HEIGHT}Z")
    return Curve(
        series.name,
        "".join(f"M{'L'.join(stroke)}" for stroke in strokes),
        "".join(f"M{point}h0" for stroke in strokes for point in stroke),
        "".join(areas),
        points[-1][1] if points else None,
    )

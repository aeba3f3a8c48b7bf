"""A signature drawn with a finger or a mouse: strokes on a sheet of 600 x 200, as the path of an SVG. Pure."""

import re

WIDTH, HEIGHT = 600, 200
MAX_LENGTH = 12_000
# Less than this is a slip of the finger, not a name.
_LEAST_WIDTH, _LEAST_POINTS = 40, 5

# Each stroke a move and then lines; every number is bounded, so the text can be drawn as it is, anywhere.
PATTERN = r"^(M\d{1,3} \d{1,3}(L\d{1,3} \d{1,3})+)*$"
_POINT = re.compile(r"([ML])(\d{1,3}) (\d{1,3})")

Point = tuple[int, int]


def strokes(path: str) -> list[list[Point]]:
    """Return the strokes of a path that fits PATTERN, each a list of points."""
    drawn: list[list[Point]] = []
    for kind, x, y in _POINT.findall(path):
        if kind == "M":
            drawn.append([])
        drawn[-1].append((int(x), int(y)))
    return drawn


def require_signature(path: str) -> str:
    """Return the path; raises ValueError, in words for the person who drew it, when it is no signature."""
    points = [point for stroke in strokes(path) for point in stroke]
    if any(x > WIDTH or y > HEIGHT for x, y in points):
        raise ValueError("The drawn signature goes past its field; please draw it again.")
    across = [x for x, _ in points]
    if len(points) < _LEAST_POINTS or max(across) - min(across) < _LEAST_WIDTH:
        raise ValueError("The drawn signature is too small; please draw your name, or type it alone.")
    return path

"""A contractor's colour: readable as text and under text, or it is not taken. Pure."""

# WCAG 2.2, 1.4.3: text of ordinary size on its ground.
LEAST_CONTRAST = 4.5
STANDARD_ACCENT = "#0b5d49"

_BLACK = (0, 0, 0)
# The darkest ground of the document that an accent stands on.
_PAPER = (246, 244, 238)
_DARKER_STEPS = 20

Rgb = tuple[int, int, int]


class TooPale(ValueError):
    """White text on this colour, or this colour as text, cannot be read; `darker` is the nearest that can."""

    def __init__(self, darker: str, contrast: float) -> None:
        super().__init__(f"Its contrast with white paper is {contrast:.1f}; {LEAST_CONTRAST} is needed. Try {darker}.")
        self.darker = darker


def pressed(accent: str) -> str:
    """Return the colour a button of this accent has under a finger."""
    return text(_mix(parse(accent), _BLACK, 0.25))


def require_readable(accent: str) -> str:
    """Return the colour; raises `TooPale` when text in it, or white text on it, could not be read."""
    own = parse(accent)
    if _reads(own):
        return accent
    raise TooPale(text(_darkened(own)), contrast(own, _PAPER))


def parse(colour: str) -> Rgb:
    """Read `#rrggbb`."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def text(colour: Rgb) -> str:
    """Write `#rrggbb`."""
    return f"#{bytes(colour).hex()}"


def contrast(first: Rgb, second: Rgb) -> float:
    """Return the contrast ratio of two colours, 1 to 21, as WCAG reckons it."""
    lighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _reads(colour: Rgb) -> bool:
    return contrast(colour, _PAPER) >= LEAST_CONTRAST


def _darkened(colour: Rgb) -> Rgb:
    shades = (_mix(colour, _BLACK, step / _DARKER_STEPS) for step in range(1, _DARKER_STEPS + 1))
    return next(shade for shade in shades if _reads(shade))


def _mix(colour: Rgb, other: Rgb, share: float) -> Rgb:
    red, green, blue = (round(own + (to - own) * share) for own, to in zip(colour, other, strict=True))
    return red, green, blue


def _luminance(colour: Rgb) -> float:
    red, green, blue = (_linear(channel / 255) for channel in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - sRGB's own


def style_sheet(accent: str | None) -> str:
    """Return the custom properties that share.css uses; None is the standard colour."""
    chosen = accent or STANDARD_ACCENT
    # More specific than share.css's own: a printed page is not to fall back to it.
    return f":root:root:root{{--accent:{chosen};--accent-strong:{pressed(chosen)}}}"

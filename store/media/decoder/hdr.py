"""Colors of photos that say them by code points (ITU-T H.273) instead of a profile: brought into sRGB. Pure.

Photos in HDR are mapped so that everything up to their white stays as bright as it was; only highlights are compressed.
"""

from __future__ import annotations

from functools import cache
from math import exp
from typing import TYPE_CHECKING, Any

from PIL import ImageFilter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

_BT709, _BT2020, _P3 = 1, 9, 12
_PQ, _HLG = 16, 18
# White of a page stands at 203 of PQ's 10,000 nits, and of the 1,000 that HLG is made for (ITU-R BT.2408).
_WHITE_NITS, _PQ_NITS, _HLG_NITS, _HLG_GAMMA = 203.0, 10_000.0, 1_000.0, 1.2
# From here on, of white, highlights are compressed.
_KNEE = 0.8
_STEPS = 33
_TO_BT709 = {
    _BT709: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    _BT2020: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    _P3: ((1.2249, -0.2247, 0.0), (-0.0420, 1.0419, 0.0), (-0.0197, -0.0786, 1.0979)),
}


def in_srgb(image: Image.Image) -> Image.Image:
    """Return an RGB photo in sRGB by its code points; the same photo when they say nothing else."""
    said: Mapping[str, Any] | None = image.info.get("nclx_profile")
    if not said or image.mode not in {"RGB", "RGBA"}:
        return image
    primaries, transfer = said.get("color_primaries"), said.get("transfer_characteristics")
    if primaries not in _TO_BT709 or (primaries == _BT709 and transfer not in {_PQ, _HLG}):
        return image
    return image.filter(_table(primaries, transfer if transfer in {_PQ, _HLG} else 0))


@cache
def _table(primaries: int, transfer: int) -> ImageFilter.Color3DLUT:
    linear = {_PQ: _from_pq, _HLG: _from_hlg}.get(transfer, _from_srgb)
    levels = [linear(step / (_STEPS - 1)) for step in range(_STEPS)]
    matrix = _TO_BT709[primaries]

    def color(red: float, green: float, blue: float) -> tuple[float, float, float]:
        light = [levels[round(value * (_STEPS - 1))] for value in (red, green, blue)]
        return _shown([sum(a * b for a, b in zip(row, light, strict=True)) for row in matrix])

    return ImageFilter.Color3DLUT.generate(_STEPS, color)


def _shown(light: list[float]) -> tuple[float, float, float]:
    """Compress highlights by the brightest channel, so that no color changes its hue, and encode as sRGB."""
    brightest = max(light)
    scale = 1.0
    if brightest > _KNEE:
        scale = (_KNEE + (1 - _KNEE) * (1 - exp((_KNEE - brightest) / (1 - _KNEE)))) / brightest
    red, green, blue = (_to_srgb(max(value, 0.0) * scale) for value in light)
    return red, green, blue


def _from_pq(code: float) -> float:
    root = code ** (1 / 78.84375)
    light: float = (max(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    return light * _PQ_NITS / _WHITE_NITS


def _from_hlg(code: float) -> float:
    scene = code**2 / 3 if code <= 0.5 else (exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12  # noqa: PLR2004
    light: float = scene**_HLG_GAMMA
    return light * _HLG_NITS / _WHITE_NITS


def _from_srgb(code: float) -> float:
    light: float = code / 12.92 if code <= 0.04045 else ((code + 0.055) / 1.055) ** 2.4  # noqa: PLR2004
    return light


def _to_srgb(light: float) -> float:
    light = min(light, 1.0)
    code: float = light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055  # noqa: PLR2004
    return code

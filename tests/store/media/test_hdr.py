"""Photos whose colors stand in code points: HDR is not washed out, and white stays white."""

import pytest
from PIL import Image

from store.media.decoder.hdr import in_srgb

BT2020, P3, BT709 = 9, 12, 1
PQ, SRGB = 16, 13


def _shown(color: tuple[int, int, int], primaries: int, transfer: int) -> tuple[int, ...]:
    image = Image.new("RGB", (2, 2), color)
    image.info["nclx_profile"] = {"color_primaries": primaries, "transfer_characteristics": transfer}
    found = in_srgb(image).getpixel((0, 0))
    assert isinstance(found, tuple)
    return tuple(int(value) for value in found)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        (0, 0),
        (109, 123),  # 40.6 nits, a fifth of white
        (148, 240),  # 203 nits, the white of a page
        (255, 255),  # 10,000 nits
    ],
)
def test_grays_of_pq_are_as_bright_as_they_were(code: int, shown: int) -> None:
    """Up to white nothing is dimmed by more than a little; above it all is still told apart from black."""
    assert _shown((code, code, code), BT2020, PQ) == pytest.approx((shown,) * 3, abs=8)


def test_colors_of_pq_are_not_washed_out() -> None:
    """A strong red keeps its hue; shown as it was, it would be brown."""
    red, green, blue = _shown((140, 70, 60), BT2020, PQ)
    assert red > 180
    assert max(green, blue) < 60


@pytest.mark.parametrize(("primaries", "transfer"), [(BT709, SRGB), (2, 2)])
def test_other_photos_stay_as_they_are(primaries: int, transfer: int) -> None:
    """What says sRGB, or nothing that is known."""
    assert _shown((140, 70, 60), primaries, transfer) == (140, 70, 60)


def test_wide_colors_without_a_profile_are_brought_in() -> None:
    """Display P3's gray is sRGB's; its green is none of sRGB's, so it is cut off there."""
    assert _shown((120, 120, 120), P3, SRGB) == pytest.approx((120, 120, 120), abs=2)
    assert _shown((0, 200, 0), P3, SRGB)[1] > 200

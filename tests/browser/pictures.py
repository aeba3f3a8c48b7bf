"""Pictures on a page, and the picture of the page that the README shows."""

import os
from pathlib import Path

from PIL import Image
from playwright.async_api import Locator, expect

from tests.product import ROOT

README_PICTURE = ROOT / "docs" / "console.png"
README_BYTES = 300_000
README_WIDTH = 1280


async def see_picture(image: Locator) -> None:
    """Wait until an image has really been decoded."""
    await expect(image).to_have_js_property("complete", value=True)
    width: int = await image.evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert width > 1


def keep_for_readme(shot: Path) -> None:
    """Keep a picture for the README when SCOPEKIT_SCREENSHOTS is set, in few colours so that it stays small."""
    if not os.environ.get("SCOPEKIT_SCREENSHOTS"):
        return
    picture = Image.open(shot).convert("RGB")
    small = picture.resize((README_WIDTH, picture.height * README_WIDTH // picture.width), Image.Resampling.LANCZOS)
    small.quantize(192, dither=Image.Dither.NONE).save(README_PICTURE, optimize=True)
    assert README_PICTURE.stat().st_size < README_BYTES

"""Pictures on a page, and the picture of the page that the README shows."""

import io
import os

from PIL import Image
from playwright.async_api import Locator, Page, ViewportSize, expect

from tests.product import ROOT

README_PICTURE = ROOT / "docs" / "console.png"
README_SIZE: ViewportSize = {"width": 1280, "height": 1000}
README_BYTES = 300_000
README_COLOURS = 192


async def see_picture(image: Locator) -> None:
    """Wait until an image has really been decoded."""
    await expect(image).to_have_js_property("complete", value=True)
    width: int = await image.evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert width > 1


async def keep_for_readme(page: Page) -> None:
    """Keep `docs/console.png` when SCOPEKIT_SCREENSHOTS is set, in few colours so that it stays small."""
    if not os.environ.get("SCOPEKIT_SCREENSHOTS"):
        return
    before = page.viewport_size
    await page.set_viewport_size(README_SIZE)
    await page.evaluate("() => scrollTo({ top: 0, behavior: 'instant' })")
    shot = Image.open(io.BytesIO(await page.screenshot())).convert("RGB")
    README_PICTURE.parent.mkdir(exist_ok=True)
    shot.quantize(README_COLOURS, dither=Image.Dither.NONE).save(README_PICTURE, optimize=True)
    assert README_PICTURE.stat().st_size < README_BYTES
    if before:
        await page.set_viewport_size(before)

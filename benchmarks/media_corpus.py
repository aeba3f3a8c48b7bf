"""Hold a folder of photos and recordings against Chromium and ffmpeg: `python -m benchmarks.media_corpus DIR`.

Every file is taken as an upload is: known by its first bytes, opened in a confined helper, and converted if need be.

- A photo has to be upright and in Chromium's colors: within 6 of 255 on average, over 16 x 16 fields, without the
  lowest two rows if its end is missing.
- A recording has to be as long as ffmpeg hears it, within 0.1 s, less what the product itself says is lost.

Prints each disagreement, and counts; ends with 1 if there is one. Needs `chromium` and `ffmpeg` on the PATH; without
one of them its files are only opened.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from playwright.async_api import async_playwright

from store.errors import SpineError, UnsupportedType
from store.media.decoder.media_client import Decoder
from store.objects.content import ALL_TYPES, HEAD_BYTES, recognise
from store.objects.spool import Spool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

    from store.objects.content import Converted, Findings

FIELDS = 16
COLORS_APART = 6.0
SECONDS_APART = 0.1
RATE = 16_000
MEDIA_BYTES = 104_857_600
FFMPEG_SECONDS = 300
_SHOWN = """async (url) => {
  const image = new Image();
  image.src = url;
  try { await image.decode(); } catch { return null; }
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 16;
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  return {width: image.naturalWidth, height: image.naturalHeight, pixels: [...pixels]};
}"""
# Chromium draws what an <img> may hold; the bytes decide, not this type.
_DATA_URL = "data:image/*;base64,"


class Taken(NamedTuple):
    """What the product made of one file; `type` is None when it refused it."""

    type: str | None
    said: str = ""
    findings: Findings | None = None
    jpeg: bytes | None = None


async def take(decoder: Decoder, body: bytes) -> Taken:
    """Take a file as an upload is taken."""
    try:
        kind = recognise(body[:HEAD_BYTES])
    except UnsupportedType as refusal:
        return Taken(None, str(refusal))
    with closing(spooled(body)) as spool:
        found = await decoder.check(spool, kind.name)
        if found.problem is not None:
            return Taken(kind.name, found.problem, found)
        kind = ALL_TYPES[found.really] if found.really else kind
        try:
            made = [] if kind.is_stored else await decoder.convert(spool, kind.name)
        except SpineError as error:
            return Taken(kind.name, error.detail, found)
    return await shown(decoder, kind.name, body, found, made)


async def shown(decoder: Decoder, name: str, body: bytes, found: Findings, made: list[Converted]) -> Taken:
    """Draw a photo as people see it; a recording is as its first look found it, or as what was made of it."""
    first = made[0] if made else None
    content_type = first.content_type if first else name
    if not content_type.startswith("image/") or not name.startswith("image/"):
        return Taken(name, found.note or "", first.findings if first else found)
    with closing(spooled(first.body if first else body)) as spool:
        return Taken(name, found.note or "", found, await decoder.render(spool, content_type, 2000))


def spooled(body: bytes) -> Spool:
    """Put a file where a helper is given it from."""
    spool = Spool(MEDIA_BYTES)
    spool.fill(memoryview(body))
    return spool


async def against_chromium(page: Page, body: bytes, taken: Taken) -> str | None:
    """Say in what a photo differs from what Chromium shows; None when it does not."""
    theirs = await page.evaluate(_SHOWN, _DATA_URL + base64.b64encode(body).decode())
    if theirs is None:
        return None
    if taken.jpeg is None or taken.findings is None:
        return f"Chromium shows it: {theirs['width']} x {theirs['height']}"
    ours, size = taken.findings, (theirs["width"], theirs["height"])
    if (ours.width, ours.height) != size:
        return f"{ours.width} x {ours.height}, in Chromium {size[0]} x {size[1]}"
    drawn = await page.evaluate(_SHOWN, _DATA_URL + base64.b64encode(taken.jpeg).decode())
    fields = FIELDS * (FIELDS - (2 if taken.said else 0))
    pairs = zip(drawn["pixels"][: 4 * fields], theirs["pixels"][: 4 * fields], strict=True)
    apart = sum(abs(a - b) for a, b in pairs) / (3 * fields)
    return f"colors {apart:.1f} apart from Chromium's" if apart > COLORS_APART else None


def against_ffmpeg(path: Path, taken: Taken) -> str | None:
    """Say in what a recording differs from what ffmpeg hears; None when it does not."""
    heard = heard_by_ffmpeg(path)
    if taken.findings is None or taken.findings.duration_ms is None:
        return f"ffmpeg hears {heard:.2f} s" if heard > SECONDS_APART else None
    lost = float(taken.said.split(" s of this recording")[0]) if " s of this recording" in taken.said else 0.0
    ours = taken.findings.duration_ms / 1000
    if abs(ours - heard) <= SECONDS_APART or abs(ours - lost - heard) <= SECONDS_APART + 0.1 * (lost > 0):
        return None
    return f"{ours:.2f} s of which {lost:.1f} s are lost; ffmpeg hears {heard:.2f} s"


def heard_by_ffmpeg(path: Path) -> float:
    """Return how many seconds of sound ffmpeg decodes; 0 for none."""
    command = [
        "ffmpeg",
        "-v",
        "quiet",
        "-i",
        str(path),
        "-map",
        "0:a:0",
        "-f",
        "s16le",
        "-ac",
        "1",
        "-ar",
        str(RATE),
        "-",
    ]
    done = subprocess.run(command, capture_output=True, timeout=FFMPEG_SECONDS, check=False)
    return len(done.stdout) / 2 / RATE


@asynccontextmanager
async def browser_page() -> AsyncIterator[Page | None]:
    """Lend an empty page of Chromium, None without one."""
    chromium = shutil.which("chromium")
    if chromium is None:
        yield None
        return
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield await browser.new_page()
        await browser.close()


async def compare(files: dict[Path, str]) -> int:
    """Go through the files of a folder; returns how many the product and the others disagree on."""
    counts: Counter[str] = Counter()
    with Decoder(1) as decoder:
        async with browser_page() as page:
            for path, name in sorted(files.items()):
                verdict = await judged(decoder, page, path, counts)
                if verdict is not None:
                    counts["disagreements"] += 1
                    print(f"{name}: {verdict}")
    print(", ".join(f"{number} {what}" for what, number in sorted(counts.items())) or "no files")
    return counts["disagreements"]


async def judged(decoder: Decoder, page: Page | None, path: Path, counts: Counter[str]) -> str | None:
    """Take one file and hold it against the others; says what differs."""
    body = await asyncio.to_thread(path.read_bytes)
    if len(body) > MEDIA_BYTES:
        counts["too large"] += 1
        return None
    taken = await take(decoder, body)
    counts[taken.type or "refused"] += 1
    differs = None
    if page is not None and (taken.type or "image/").startswith("image/"):
        differs = await against_chromium(page, body, taken)
    if differs is None and shutil.which("ffmpeg") and not (taken.type or "").startswith("image/"):
        differs = await asyncio.to_thread(against_ffmpeg, path, taken)
    return f"{differs} ({taken.type or 'refused'}{': ' if taken.said else ''}{taken.said})" if differs else None


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    given: Any = parser.parse_args()
    files = {path: str(path.relative_to(given.folder)) for path in given.folder.rglob("*") if path.is_file()}
    sys.exit(1 if asyncio.run(compare(files)) else 0)


if __name__ == "__main__":
    main()

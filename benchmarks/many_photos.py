"""A visit with 300 photos, sent by the console in Chromium: `python -m benchmarks.many_photos [--photos N] [--phone]`.

Somebody types notes all the while. Printed are how long each key press took, from the key to the next picture as the
browser measures it (Event Timing API, to 8 ms), and how long it took until every photo said that it is stored.
"""

import argparse
import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles

import asyncpg
import numpy as np
from PIL import Image
from playwright.async_api import Page, async_playwright

from devstack.stack import Endpoints, Stack
from gateway.auth.sessions import LOOPBACK_COOKIE
from store.pool import use_json
from tests.browser.conftest import CHROMIUM, DESKTOP, FLAGS, PHONE
from tests.product import Product, start_product
from tests.stack import Services, make_bucket, make_services, make_template
from tests.tenants import Tenant, make_tenant

SIZE = (4032, 3024)  # 12 megapixels
GOAL_MS = 100.0
DEADLINE_SECONDS = 1_800.0
_TEXT = "Replace the outlet by the window. "
_KEYS_A_SECOND = 8

# Presses that took less than 16 ms are not listed by the browser; they count as 16.
_WATCH_KEYS = """
() => {
  globalThis.slowKeys = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name === "keydown") slowKeys.push(entry.duration);
  }).observe({ type: "event", durationThreshold: 16 });
}
"""


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--phone", action="store_true", help="a phone's page, instead of a laptop's")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scopekit-bench-") as name:
        directory = Path(name)
        photos = make_photos(directory, options.photos)
        with Stack(directory / "stack", durable=False) as endpoints:
            services, tenant = asyncio.run(_prepare(endpoints))
            with start_product(services, directory) as product:
                asyncio.run(measure(product, services, tenant, photos, phone=options.phone))


def make_photos(directory: Path, number: int) -> list[Path]:
    """Make photos of 12 megapixels whose bytes differ: each has its number in a comment."""
    chance = np.random.default_rng(1)
    coarse = chance.integers(0, 255, (SIZE[1] // 8, SIZE[0] // 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
    image.save(directory / "photo.jpg", quality=92)
    body = (directory / "photo.jpg").read_bytes()
    made = [directory / f"IMG_{each:04d}.jpg" for each in range(number)]
    for each, path in enumerate(made):
        comment = b"%08d" % each
        path.write_bytes(body[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + body[2:])
    print(f"{number} photos of {len(body) / 1e6:.1f} MB")
    return made


async def measure(product: Product, services: Services, tenant: Tenant, photos: list[Path], *, phone: bool) -> None:
    """Pick all of them at once and type until they are stored."""
    async with _console(product, tenant, phone=phone) as page:
        await page.get_by_role("button", name="New visit").click()
        form = page.get_by_role("dialog", name="New visit")
        await form.get_by_label("Title").fill("Whole house")
        await form.get_by_role("button", name="Save").click()
        await page.get_by_role("heading", level=1, name="Whole house").wait_for()
        visit = page.url.partition("#visit=")[2]
        await page.evaluate(_WATCH_KEYS)
        began = time.monotonic()
        picking = asyncio.create_task(page.get_by_label("Add files").set_input_files(photos))
        pressed = await _type_until_stored(page, services, visit, len(photos))
        seconds = time.monotonic() - began
        await picking
        slow = sorted([float(each) for each in await page.evaluate("() => slowKeys")])
        took = [16.0] * (pressed - len(slow)) + slow
        p50, p99 = (quantiles(took, n=100)[each] for each in (49, 98))
        late = sum(each > GOAL_MS for each in took)
        print(f"{pressed} key presses: p50 <= {p50:.0f}, p99 {p99:.0f}, longest {took[-1]:.0f} ms; {late} over 100 ms")
        size = sum(path.stat().st_size for path in photos)
        print(
            f"all stored after {seconds:.0f} s ({size / seconds / 1e6:.1f} MB/s, {len(photos) / seconds:.1f} a second)"
        )


async def _type_until_stored(page: Page, services: Services, visit: str, wanted: int) -> int:
    admin = await asyncpg.connect(services.admin_url)
    pressed, notes, until = 0, page.get_by_role("textbox", name="Notes"), time.monotonic() + DEADLINE_SECONDS
    await notes.focus()
    try:
        while time.monotonic() < until:
            for letter in _TEXT:
                await page.keyboard.press("Space" if letter == " " else letter)
                pressed += 1
                await asyncio.sleep(1 / _KEYS_A_SECOND)
            stored = await admin.fetchval("SELECT count(*) FROM site_visit_media WHERE visit_id = $1::uuid", visit)
            if stored >= wanted:
                return pressed
        raise SystemExit(f"after {DEADLINE_SECONDS:.0f} s {stored} of {wanted} photos are stored")
    finally:
        await admin.close()


@asynccontextmanager
async def _console(product: Product, tenant: Tenant, *, phone: bool) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=shutil.which(CHROMIUM), args=list(FLAGS))
        context = await chromium.new_context(**(PHONE if phone else DESKTOP))
        cookie = {"name": LOOPBACK_COOKIE, "value": tenant.session, "url": product.url, "httpOnly": True}
        await context.add_cookies([cookie | {"sameSite": "Lax"}])  # type: ignore[list-item]
        page = await context.new_page()
        await page.goto(product.url)
        yield page
        await chromium.close()


async def _prepare(endpoints: Endpoints) -> tuple[Services, Tenant]:
    await make_template(endpoints)
    services = await make_services(endpoints, "bench")
    await make_bucket(services)
    admin = await asyncpg.connect(services.admin_url)
    try:
        await use_json(admin)
        return services, await make_tenant(admin)
    finally:
        await admin.close()


if __name__ == "__main__":
    main()

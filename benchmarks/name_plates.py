"""How well name plates are read off photos, by how they were taken: `python -m benchmarks.name_plates`.

Made-up plates of six kinds of equipment, photographed straight, from afar, tilted, from the side, blurred, in the dark
and with glare. Prints which share of their facts was told right, and how many facts were told that are not on them.
"""

import argparse
import asyncio
import io
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from uuid import uuid4

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from jobs.kinds.estimate.engines.base import Photo
from jobs.kinds.estimate.engines.local.engine import LocalEngine
from jobs.kinds.estimate.material import Medium
from jobs.kinds.estimate.rules.nameplates import Plate

_MAKERS = (
    "RHEEM WATER HEATER",
    "CARRIER CONDENSER",
    "SQUARE D PANEL",
    "GOODMAN FURNACE",
    "BRADFORD BOILER",
    "LG DUCT FAN",
)
_WIDTH, _HEIGHT = 1600, 1200
_METAL, _INK = (205, 206, 202), (28, 28, 30)


@dataclass(frozen=True)
class Made:
    """A plate's rows and the facts they state."""

    rows: tuple[str, ...]
    facts: frozenset[str]


def plates(count: int) -> Iterator[Made]:
    """Make up plates, each worded as some maker words them."""
    chance = random.Random(5)
    for number in range(count):
        model = "".join(chance.choices("ABCDEFGHKLMNPRSTUVWXYZ", k=2)) + str(chance.randint(1000, 99999))
        serial = str(chance.randint(10**8, 10**10))
        volts, amps = chance.choice(("120", "208/240", "240", "480")), f"{chance.randint(40, 600) / 10}"
        said = (
            (f"MODEL NO. {model}", f"SERIAL NO. {serial}", f"VOLTS {volts}   AMPS {amps}"),
            (f"M/N {model}", f"S/N {serial}", f"{volts} V  60 HZ  {amps} A"),
            (f"MODEL: {model}", f"SERIAL: {serial}", f"{volts} VAC  1 PH  {amps} AMPS"),
        )[number % 3]
        facts = frozenset({f"model {model}", f"serial {serial}", f"{volts} V", f"{amps} A"})
        yield Made((_MAKERS[number % len(_MAKERS)], *said), facts)


def photographed(made: Made, *, letters: int = 44) -> Image.Image:
    """Photograph a plate straight on, with the noise of a phone."""
    noise = Image.effect_noise((_WIDTH, _HEIGHT), 18).convert("RGB")
    image = Image.blend(Image.new("RGB", (_WIDTH, _HEIGHT), (92, 95, 99)), noise, 0.25)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(size=letters)
    left, top = 500, 350
    draw.rectangle((left, top, left + letters * 20, top + letters * 9), fill=_METAL)
    for number, row in enumerate(made.rows):
        draw.text((left + letters, top + letters * (1 + 2 * number)), row, font=font, fill=_INK)
    return image


def _from_the_side(made: Made) -> Image.Image:
    across = (0, 0, 0, _HEIGHT, _WIDTH, _HEIGHT - 220, _WIDTH, 220)
    return photographed(made).transform((_WIDTH, _HEIGHT), Image.Transform.QUAD, across, Image.Resampling.BICUBIC)


def _with_glare(made: Made) -> Image.Image:
    spot = Image.new("L", (_WIDTH, _HEIGHT))
    ImageDraw.Draw(spot).ellipse((700, 420, 1150, 620), fill=170)
    white = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    return Image.composite(white, photographed(made), spot.filter(ImageFilter.GaussianBlur(60)))


_WAYS: dict[str, Callable[[Made], Image.Image]] = {
    "straight": photographed,
    "from afar": lambda made: photographed(made, letters=20),
    "tilted by 8 degrees": lambda made: photographed(made).rotate(8, Image.Resampling.BICUBIC),
    "upside down": lambda made: photographed(made).rotate(180),
    "from the side": _from_the_side,
    "blurred": lambda made: photographed(made).filter(ImageFilter.GaussianBlur(3)),
    "in the dark": lambda made: ImageEnhance.Brightness(photographed(made)).enhance(0.25),
    "with glare": _with_glare,
}


async def run(count: int) -> None:
    """Read every plate in every way and print the shares."""
    engine = LocalEngine()
    try:
        for way, taken in _WAYS.items():
            right = wrong = wanted = 0
            seconds = []
            for made in plates(count):
                started = time.perf_counter()
                told = await _told(engine, taken(made))
                seconds.append(time.perf_counter() - started)
                right += len(told & made.facts)
                wrong += len(told - made.facts)
                wanted += len(made.facts)
            share = f"{right / wanted:6.1%} of {wanted} facts"
            print(f"  {way:<20} {share}   {wrong} false   {median(seconds):5.2f} s a photo")
    finally:
        await engine.aclose()


async def _told(engine: LocalEngine, image: Image.Image) -> set[str]:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    medium = Medium(media_id=uuid4(), kind="photo", content_type="image/jpeg", storage_path="")
    seen = (await engine.look(Photo(medium, out.getvalue()))).observations
    return set(Plate(medium.media_id, "Photo 1", "", seen.text_read).facts())


def main() -> None:
    """Run as asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--plates", type=int, default=6, help="plates a way of taking them")
    asyncio.run(run(parser.parse_args().plates))


if __name__ == "__main__":
    main()

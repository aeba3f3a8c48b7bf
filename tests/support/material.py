"""What a contractor brings home from a visit, made when the tests run: photos and a spoken note."""

import random
import shutil
import subprocess
from pathlib import Path

import pillow_heif
from PIL import Image, ImageDraw, ImageFilter

from tests.support.ci import skip_or_fail

WIDTH, HEIGHT = 1600, 1200
SPOKEN = "We need to install three GFCI outlets in the hallway. Then replace one toilet in the bathroom."
# Slow and low is what the small speech model understands best.
_VOICE = ("-v", "en-us", "-s", "140", "-p", "45")
_DEADLINE_SECONDS = 60


def jpeg_photo(path: Path) -> Path:
    """Draw a wall with an outlet and a hole, with the EXIF of a phone."""
    image = _wall((214, 205, 188), seed=1)
    draw = ImageDraw.Draw(image)
    _outlet(draw, 430, 640)
    _hole(draw, 1020, 460)
    exif = Image.Exif()
    exif[0x010F] = "Test phone"
    exif[0x0112] = 1
    image.save(path, "JPEG", quality=86, exif=exif)
    return path


def heic_photo(path: Path) -> Path:
    """Draw a window over a counter, saved as an iPhone would."""
    image = _wall((176, 196, 205), seed=2)
    draw = ImageDraw.Draw(image)
    _window(draw, 520, 150)
    draw.rectangle((0, 860, WIDTH, 930), fill=(236, 232, 222))
    draw.rectangle((0, 930, WIDTH, HEIGHT), fill=(120, 86, 58))
    draw.arc((700, 690, 900, 870), 180, 350, fill=(205, 208, 212), width=26)
    pillow_heif.from_pillow(image).save(path, quality=70)
    return path


def voice_note(path: Path, text: str = SPOKEN) -> Path:
    """Speak `text` into WebM/Opus, as MediaRecorder writes it."""
    wav = path.with_suffix(".wav")
    _run("espeak-ng", *_VOICE, "-w", str(wav), text)
    _run("ffmpeg", "-loglevel", "error", "-y", "-i", str(wav), "-ac", "1", "-c:a", "libopus", "-b:a", "32k", str(path))
    wav.unlink()
    return path


def need_speech() -> None:
    """Skip the test on a machine that cannot speak; fail it in CI."""
    missing = [tool for tool in ("espeak-ng", "ffmpeg") if shutil.which(tool) is None]
    if missing:
        skip_or_fail(f"needs {' and '.join(missing)} to make speech")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=_DEADLINE_SECONDS, capture_output=True)


def _wall(colour: tuple[int, int, int], *, seed: int) -> Image.Image:
    """Paint a lit wall with a baseboard and the grain of a real picture."""
    light = Image.linear_gradient("L").rotate(90).resize((WIDTH, HEIGHT))
    shade = Image.new("RGB", (WIDTH, HEIGHT), tuple(int(part * 0.72) for part in colour))
    image = Image.composite(Image.new("RGB", (WIDTH, HEIGHT), colour), shade, light)
    noise = Image.effect_noise((WIDTH // 2, HEIGHT // 2), 14 + seed).resize((WIDTH, HEIGHT)).convert("RGB")
    image = Image.blend(image, noise, 0.06)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 1010, WIDTH, 1080), fill=(240, 238, 232))
    draw.line((0, 1012, WIDTH, 1012), fill=(190, 186, 176), width=4)
    draw.rectangle((0, 1080, WIDTH, HEIGHT), fill=(142, 104, 70))
    return image.filter(ImageFilter.GaussianBlur(0.8))


def _outlet(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    draw.rounded_rectangle((x, y, x + 150, y + 230), 18, fill=(246, 245, 240), outline=(180, 176, 168), width=4)
    for top in (y + 34, y + 130):
        draw.rectangle((x + 48, top, x + 58, top + 40), fill=(60, 58, 54))
        draw.rectangle((x + 92, top, x + 102, top + 40), fill=(60, 58, 54))
        draw.ellipse((x + 66, top + 44, x + 84, top + 62), fill=(60, 58, 54))


def _hole(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    """Break a ragged hole into the wall; the same one each time."""
    ragged = random.Random(7)
    edge = [(200, 20), (260, 120), (215, 250), (90, 275), (-10, 190), (20, 60), (110, 5)]
    points = [(x + dx + ragged.randint(-18, 18), y + dy + ragged.randint(-18, 18)) for dx, dy in edge]
    draw.polygon(points, fill=(66, 54, 44), outline=(228, 222, 210), width=10)
    draw.line((x + 60, y + 20, x + 80, y + 260), fill=(150, 116, 78), width=34)


def _window(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    draw.rectangle((x, y, x + 560, y + 480), fill=(245, 244, 240))
    for column in (x + 24, x + 292):
        for row in (y + 24, y + 252):
            draw.rectangle((column, row, column + 244, row + 204), fill=(168, 206, 232))
            draw.polygon(
                [(column, row + 204), (column + 110, row + 90), (column + 244, row + 204)], fill=(104, 140, 104)
            )

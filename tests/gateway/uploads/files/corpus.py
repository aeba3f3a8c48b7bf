"""Bad files, made on the spot: cut short, damaged, two things at once, far too large, and called what they are not."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.gateway.uploads.files import files

GOOD: dict[str, Callable[[], bytes]] = {
    "image/jpeg": files.jpeg,
    "image/png": files.png,
    "image/webp": files.webp,
    "image/heic": files.heic,
    "audio/webm": files.recording,
    "audio/mp4": lambda: files.recording("mp4"),
    "audio/mpeg": lambda: files.recording("mp3"),
    "audio/aac": lambda: files.recording("adts"),
}
CUTS = (1, 2, 3, 7, 12, 40, 200, 511, 512, 900)
TAILS = (1, 100)
DAMAGES = 6
SCRIPT = b"<html><script>alert(document.cookie)</script></html>"


@dataclass(frozen=True)
class Bad:
    """One bad upload."""

    name: str
    body: bytes
    content_type: str
    headers: dict[str, str] = field(default_factory=dict)


def truncated() -> Iterator[Bad]:
    """Every kind, cut after its first bytes and before its last."""
    for kind, make in GOOD.items():
        body = make()
        for at in (*CUTS, len(body) // 2, *(len(body) - tail for tail in TAILS)):
            if 0 < at < len(body):
                yield Bad(f"{kind} cut at {at}", body[:at], kind)


def damaged() -> Iterator[Bad]:
    """Every kind with some bytes overwritten behind its first ones; the same ones each time."""
    for kind, make in GOOD.items():
        for seed in range(DAMAGES):
            chance, body = random.Random(seed), bytearray(make())
            for _ in range(20):
                body[chance.randrange(24, len(body))] = chance.randrange(256)
            yield Bad(f"{kind} damaged {seed}", bytes(body), kind)


def misnamed() -> Iterator[Bad]:
    """Every kind called every other."""
    for kind, make in GOOD.items():
        for other in GOOD:
            if other != kind:
                yield Bad(f"{kind} as {other}", make(), other)


def polyglots() -> Iterator[Bad]:
    """A file that is a photo and something else, the one before or behind the other."""
    others = {"script": SCRIPT, "zip": b"PK\x03\x04" + bytes(30), "pdf": b"%PDF-1.7\n", "gif": b"GIF89a" + bytes(20)}
    for name, other in others.items():
        for kind in ("image/jpeg", "image/png", "audio/webm"):
            body = GOOD[kind]()
            yield Bad(f"{kind} before {name}", body + other, kind)
            yield Bad(f"{name} before {kind}", other + body, kind)
            yield Bad(f"{name} inside {kind}", body[:30] + other + body[30:], kind)


def enormous() -> Iterator[Bad]:
    """A few hundred bytes that claim to be a huge picture, and dimensions that make no sense."""
    sizes = (
        (60_000, 60_000),
        (2**31 - 1, 1),
        (1, 2**31 - 1),
        (2**31 - 1, 2**31 - 1),
        (100_000, 1_001),
        (0, 10),
        (10, 0),
    )
    for width, height in sizes:
        yield Bad(f"png of {width} x {height}", files.png_bomb(width, height), "image/png")
    jpeg = bytearray(files.jpeg())
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg[start : start + 4] = b"\xff\xff\xff\xff"
    yield Bad("jpeg of 65535 x 65535", bytes(jpeg), "image/jpeg")
    webp = files.webp()
    yield Bad("webp that says it is 4 GB", webp[:4] + b"\xff\xff\xff\xff" + webp[8:], "image/webp")
    mp4 = files.recording("mp4")
    yield Bad("mp4 whose box has no end", b"\xff\xff\xff\xff" + mp4[4:], "audio/mp4")


def hollow() -> Iterator[Bad]:
    """Nothing, or only the first bytes of something and then zeros."""
    for kind, make in GOOD.items():
        yield Bad(f"empty {kind}", b"", kind)
        yield Bad(f"hollow {kind}", make()[:64] + bytes(3000), kind)


def absurd_headers() -> Iterator[Bad]:
    """A good photo under headers that make no sense."""
    headers = {
        "x-sequence": ("-1", "one", "9" * 40, "1e3", "0x10"),
        "x-duration-ms": ("-1", "1.5", "99999999999"),
        "x-media-id": ("no", "../..", "0" * 32 + "x", "{}", "%00"),
        "x-file-name": ("%ff", "%", "../" * 200, "a" * 4000, "%00%0a%0d"),
        "x-label": ("x" * 1001, "%fe%ff"),
        "content-length": ("-1", "x"),
        "x-correlation-id": ("\t", "x" * 4000, "' OR 1=1"),
    }
    for name, values in headers.items():
        for value in values:
            yield Bad(f"{name}: {value[:20]!r}", files.png(), "image/png", {name: value})
    for kind in ("", "image", "image/*", "text/html", "image/svg+xml", "image/gif", "a" * 4000, "image/jpeg/png"):
        yield Bad(f"content-type {kind[:20]!r}", files.png(), kind)


FAMILIES = {
    make.__name__: list(make()) for make in (truncated, damaged, misnamed, polyglots, enormous, hollow, absurd_headers)
}

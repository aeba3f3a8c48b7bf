"""The type of a file: by its name, by its first bytes, and by opening it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.errors import UnsupportedType

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

# Enough for the brands of an ISO base media file and the document type of a WebM.
HEAD_BYTES = 512

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_AUDIO_BRANDS = frozenset(
    {b"M4A ", b"M4B ", b"mp41", b"mp42", b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"iso8", b"dash"}
    | {b"M4V ", b"3gp4", b"3gp5", b"3gp6", b"qt  "}  # what some phones write into a voice note
)
# Chromium writes the second one where the sound is not compressed: `audio/webm;codecs=pcm`.
_WEBM_DOCTYPES = (b"\x42\x82\x84webm", b"\x42\x82\x88matroska")
_FTYP_HEADER = 16
_ADTS_SYNC = 0xFFF0


@dataclass(frozen=True)
class ContentType:
    """One type we take: its name, its medium, and the test its first bytes must pass."""

    name: str
    media_type: str
    fits: Callable[[bytes], bool]


@dataclass(frozen=True)
class Findings:
    """What opening a file told: upright size in pixels, length in ms; `problem` when it cannot be used.

    `size` and `sha256` are of the bytes that were opened, None when nobody got so far.
    """

    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    problem: str | None = None
    size: int | None = None
    sha256: str | None = None


def parse(header: str | None, allowed: Collection[str] = ()) -> ContentType:
    """Read a Content-Type header; parameters such as `;codecs=opus` are dropped, known aliases resolved.

    Raises `UnsupportedType`, which lists what is taken: of all types those `allowed` here.
    """
    taken = [name for name in TYPES if name in (allowed or TYPES)]
    name = (header or "").partition(";")[0].strip().lower()
    found = TYPES.get(_ALIASES.get(name, name))
    if found is None or found.name not in taken:
        said = f"`{name[:100]}` is not a type we take." if name else "Say what the file is in Content-Type."
        raise UnsupportedType(f"{said} Send one of: {', '.join(taken)}.", allowed=taken)
    return found


def require_agreement(kind: ContentType, head: bytes) -> None:
    """Raise `UnsupportedType` when the first bytes are not those of the type it was declared as."""
    if kind.fits(head):
        return
    really = next((other.name for other in TYPES.values() if other.fits(head)), None)
    found = f"its first bytes are those of {really}" if really else "its first bytes are not"
    raise UnsupportedType(f"The file was sent as {kind.name}, but {found}. Send it as what it is.", found=really)


def _is_jpeg(head: bytes) -> bool:
    return head.startswith(b"\xff\xd8\xff")


def _is_png(head: bytes) -> bool:
    return head.startswith(b"\x89PNG\r\n\x1a\n")


def _is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _is_heif(head: bytes) -> bool:
    brands = _brands(head)
    return bool(brands & _HEIF_BRANDS) and not brands & _AVIF_BRANDS


def _is_webm(head: bytes) -> bool:
    return head.startswith(b"\x1a\x45\xdf\xa3") and any(kind in head[:64] for kind in _WEBM_DOCTYPES)


def _is_mp4_audio(head: bytes) -> bool:
    # By the major brand alone: a HEIC may list an mp4 brand as compatible, never the other way round.
    return head[4:8] == b"ftyp" and head[8:12] in _AUDIO_BRANDS and not _is_heif(head)


def _is_adts(head: bytes) -> bool:
    # Twelve bits of sync word, then two of layer, which are zero.
    return head.startswith(b"ID3") or (len(head) > 1 and int.from_bytes(head[:2]) & 0xFFF6 == _ADTS_SYNC)


def _is_mpeg_audio(head: bytes) -> bool:
    """Look for an ID3 tag, or a frame header whose version, layer, bit rate and sample rate are not reserved."""
    head = head.lstrip(b"\0")  # some recorders leave room for a tag
    if head.startswith(b"ID3"):
        return True
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:  # noqa: PLR2004 - a header is four bytes
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bit_rate, sample_rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer != 0 and bit_rate != 15 and sample_rate != 3  # noqa: PLR2004


def _brands(head: bytes) -> frozenset[bytes]:
    """Major and compatible brands of an ISO base media file; empty for anything else."""
    if head[4:8] != b"ftyp" or len(head) < _FTYP_HEADER:
        return frozenset()
    end = min(int.from_bytes(head[:4]), len(head))
    return frozenset([head[8:12], *(head[at : at + 4] for at in range(_FTYP_HEADER, end - 3, 4))])


TYPES = {
    kind.name: kind
    for kind in (
        ContentType("image/jpeg", "photo", _is_jpeg),
        ContentType("image/png", "photo", _is_png),
        ContentType("image/webp", "photo", _is_webp),
        ContentType("image/heic", "photo", _is_heif),
        ContentType("image/heif", "photo", _is_heif),
        ContentType("audio/webm", "audio", _is_webm),
        ContentType("audio/mp4", "audio", _is_mp4_audio),
        ContentType("audio/aac", "audio", _is_adts),
        ContentType("audio/mpeg", "audio", _is_mpeg_audio),
    )
}
# What phones and browsers call the same bytes.
_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "audio/x-m4a": "audio/mp4",
    "audio/m4a": "audio/mp4",
    "audio/mp4a-latm": "audio/mp4",
    "audio/quicktime": "audio/mp4",
    "audio/vnd.dlna.adts": "audio/aac",
    "audio/mpeg3": "audio/mpeg",
    "audio/x-mpeg-3": "audio/mpeg",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/x-aac": "audio/aac",
    "audio/aacp": "audio/aac",
}

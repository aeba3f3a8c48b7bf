"""The type of a file: by its name, by its first bytes, and by opening it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from store.errors import UnsupportedType
from store.objects.audio_frames import adts_frame_bytes, begins_with_frames, mpeg_frame_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

# Enough for the brands of an ISO base media file, and for the zeros that some recorders write before an MP3.
HEAD_BYTES = 16 * 1024

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_AUDIO_BRANDS = frozenset(
    {b"M4A ", b"M4B ", b"mp41", b"mp42", b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"iso8", b"dash"}
    | {b"M4V ", b"3gp4", b"3gp5", b"3gp6", b"qt  "}  # what some phones write into a voice note
)
# Chromium writes the second one where the sound is not compressed: `audio/webm;codecs=pcm`.
_WEBM_DOCTYPES = (b"\x42\x82\x84webm", b"\x42\x82\x88matroska")
_FTYP_HEADER = 16
# What people add by mistake; whatever else it may be, it is no photo or recording.
_NO_MEDIA = {b"%PDF": "a PDF", b"PK\x03\x04": "an archive or an office document", b"<": "a web page or a drawing"}


@dataclass(frozen=True)
class ContentType:
    """One type we take: its name, its medium, and the test its first bytes must pass.

    `may_fit` is enough where the sender declares this type, too: a recording may be damaged near its beginning.
    """

    name: str
    media_type: str
    fits: Callable[[bytes], bool]
    may_fit: Callable[[bytes], bool] = lambda _head: False


@dataclass(frozen=True)
class Findings:
    """What opening a file told: upright size in pixels, length in ms; `problem` when it cannot be used.

    `note` says what is wrong with one that can be used all the same.

    `size` and `sha256` are of the bytes that were opened, None when nobody got so far.
    """

    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    problem: str | None = None
    note: str | None = None
    size: int | None = None
    sha256: str | None = None


def recognise(head: bytes, declared: str = "", allowed: Collection[str] = ()) -> ContentType:
    """Return the type of a file by its first bytes, up to `HEAD_BYTES`; of several that fit, the declared one.

    Raises `UnsupportedType` when it is none of `allowed`, or none at all; `found` says what it is instead.
    """
    taken = [name for name in TYPES if name in (allowed or TYPES)]
    said = named(declared)
    if said is not None and (said.fits(head) or said.may_fit(head)):
        found: ContentType | None = said
    else:
        found = next((kind for kind in TYPES.values() if kind.fits(head)), None)
    if found is None or found.name not in taken:
        raise UnsupportedType(
            _refusal(head, found, allowed), allowed=taken, found=None if found is None else found.name
        )
    return found


def named(declared: str) -> ContentType | None:
    """Return the type that a Content-Type names; parameters such as `;codecs=opus` are dropped, aliases resolved."""
    name = declared.partition(";")[0].strip().lower()
    return TYPES.get(_ALIASES.get(name, name))


def _refusal(head: bytes, found: ContentType | None, allowed: Collection[str]) -> str:
    other = found.name if found else next((name for start, name in _NO_MEDIA.items() if head.startswith(start)), None)
    what = f"This file is {other}, which cannot be used here." if other else "This file is no photo or recording."
    if allowed:
        return f"{what} Send one of: {', '.join(sorted(allowed))}."
    return f"{what} Photos can be JPEG, PNG, WebP or HEIC; recordings WebM, M4A, AAC or MP3."


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
    return begins_with_frames(_behind_tag(head), adts_frame_bytes)


def _is_mpeg_audio(head: bytes) -> bool:
    sound = _behind_tag(head.lstrip(b"\0"))  # some recorders leave room for a tag
    return begins_with_frames(sound, mpeg_frame_bytes) or (not sound and _has_tag(head))


def _may_be_adts(head: bytes) -> bool:
    sound = _behind_tag(head)
    return bool(adts_frame_bytes(sound)) or (not sound and _has_tag(head))


def _may_be_mpeg_audio(head: bytes) -> bool:
    return bool(mpeg_frame_bytes(_behind_tag(head.lstrip(b"\0"))))


def _has_tag(head: bytes) -> bool:
    return head.startswith(b"ID3")


def _behind_tag(head: bytes) -> bytes:
    """Return what follows an ID3 tag; nothing when the tag, with a picture in it, is longer than this."""
    if not _has_tag(head):
        return head
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 127
    return head[10 + size :]


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
        ContentType("audio/aac", "audio", _is_adts, _may_be_adts),
        ContentType("audio/mpeg", "audio", _is_mpeg_audio, _may_be_mpeg_audio),
    )
}
# What has not come far enough to be known.
UNKNOWN = ContentType("application/octet-stream", "", lambda _head: False)
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

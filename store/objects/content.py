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
_SEQUENCE_BRANDS = frozenset({b"msf1", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_AUDIO_BRANDS = frozenset(
    {b"M4A ", b"M4B ", b"mp41", b"mp42", b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"iso8", b"dash"}
    | {b"M4V ", b"M4VH", b"M4VP", b"MSNV", b"f4v ", b"iso7", b"iso9", b"avc1", b"mmp4"}
)
_EBML = b"\x1a\x45\xdf\xa3"
_WEBM, _MATROSKA = b"\x42\x82\x84webm", b"\x42\x82\x88matroska"
_FTYP_HEADER = 16
_OGG_FLAGS, _OGG_FIRST = 5, 2
# What people add by mistake; whatever else it may be, it is no photo or recording.
_NO_MEDIA = {b"%PDF": "a PDF", b"PK\x03\x04": "an archive or an office document", b"<": "a web page or a drawing"}


@dataclass(frozen=True)
class ContentType:
    """One type we take: its name, its medium, and the test its first bytes must pass.

    `may_fit` is enough where the sender declares this type, too: a recording may be damaged near its beginning.
    The bucket of media takes those that are `is_stored`; others are turned into one of them.
    """

    name: str
    media_type: str
    fits: Callable[[bytes], bool]
    may_fit: Callable[[bytes], bool] = lambda _head: False
    is_stored: bool = True


@dataclass(frozen=True)
class Findings:
    """The result of opening a file: upright size in pixels, length in ms; `problem` when it cannot be used.

    `note` names a fault of one that can be used all the same.

    `really` names the type of a file that its first bytes do not tell from one of ours, such as a video.
    `size` and `sha256` are of the bytes that were opened, None when nobody got so far.
    """

    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    problem: str | None = None
    note: str | None = None
    really: str | None = None
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Converted:
    """A file of our types that was made of another one, and the result of opening it."""

    content_type: str
    body: bytes
    findings: Findings


def recognise(head: bytes, declared: str = "", allowed: Collection[str] = ()) -> ContentType:
    """Return the type of a file by its first bytes, up to `HEAD_BYTES`; of several that fit, the declared one.

    Raises `UnsupportedType` when it is none of `allowed`, or none at all; `found` says what it is instead.
    """
    taken = [name for name in ALL_TYPES if name in (allowed or ALL_TYPES)]
    said = named(declared)
    if said is not None and (said.fits(head) or said.may_fit(head)):
        found: ContentType | None = said
    else:
        found = next((kind for kind in ALL_TYPES.values() if kind.fits(head)), None)
    if found is None or found.name not in taken:
        raise UnsupportedType(
            _refusal(head, found, allowed), allowed=taken, found=None if found is None else found.name
        )
    return found


def named(declared: str) -> ContentType | None:
    """Return the type that a Content-Type names; parameters such as `;codecs=opus` are dropped, aliases resolved."""
    name = declared.partition(";")[0].strip().lower()
    return ALL_TYPES.get(_ALIASES.get(name, name))


def _refusal(head: bytes, found: ContentType | None, allowed: Collection[str]) -> str:
    other = found.name if found else next((name for start, name in _NO_MEDIA.items() if head.startswith(start)), None)
    what = f"This file is {other}, which cannot be used here." if other else "This file is no photo or recording."
    if allowed:
        return f"{what} Send one of: {', '.join(sorted(allowed))}."
    return f"{what} Photos can be JPEG, PNG, WebP, HEIC or AVIF; recordings M4A, MP3, WebM, Ogg, WAV and others."


def _is_jpeg(head: bytes) -> bool:
    return head.startswith(b"\xff\xd8\xff")


def _is_png(head: bytes) -> bool:
    return head.startswith(b"\x89PNG\r\n\x1a\n")


def _is_webp(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _is_heif(head: bytes) -> bool:
    brands = _brands(head)
    return bool(brands & _HEIF_BRANDS) and not brands & _AVIF_BRANDS and not _is_heif_sequence(head)


def _is_heif_sequence(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _SEQUENCE_BRANDS


def _is_webm(head: bytes) -> bool:
    return head.startswith(_EBML) and _WEBM in head[:64]


def _is_matroska(head: bytes) -> bool:
    # Chromium's `audio/webm;codecs=pcm` is one.
    return head.startswith(_EBML) and _MATROSKA in head[:64]


def _is_mp4_audio(head: bytes) -> bool:
    # By the major brand alone: a HEIC may list an mp4 brand as compatible, never the other way round.
    return head[4:8] == b"ftyp" and head[8:12] in _AUDIO_BRANDS and not _is_heif(head)


def _is_quicktime(head: bytes) -> bool:
    return head[4:12] == b"ftypqt  " or head[4:8] in {b"moov", b"mdat", b"wide"}


def _is_3gpp(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:10] == b"3g"


def _is_avif(head: bytes) -> bool:
    return bool(_brands(head) & _AVIF_BRANDS)


def _is_ogg(head: bytes) -> bool:
    # Every page begins so; the first one of a stream says that it is.
    return head.startswith(b"OggS\0") and len(head) > _OGG_FLAGS and bool(head[_OGG_FLAGS] & _OGG_FIRST)


def _is_wav(head: bytes) -> bool:
    return head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE"


def _is_aiff(head: bytes) -> bool:
    return head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}


def _begins(*signs: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signs)


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


# The nine that the bucket of media takes.
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
# What phones, browsers and messengers send beside them.
_OTHERS = {
    kind.name: kind
    for kind in (
        ContentType("image/avif", "photo", _is_avif, is_stored=False),
        ContentType("image/heif-sequence", "photo", _is_heif_sequence, is_stored=False),
        ContentType("image/gif", "photo", _begins(b"GIF87a", b"GIF89a"), is_stored=False),
        ContentType("audio/ogg", "audio", _is_ogg, is_stored=False),
        ContentType("audio/wav", "audio", _is_wav, is_stored=False),
        ContentType("audio/flac", "audio", _begins(b"fLaC"), is_stored=False),
        ContentType("audio/aiff", "audio", _is_aiff, is_stored=False),
        ContentType("audio/x-caf", "audio", _begins(b"caff"), is_stored=False),
        ContentType("audio/amr", "audio", _begins(b"#!AMR\n", b"#!AMR-WB\n"), is_stored=False),
        ContentType("audio/x-matroska", "audio", _is_matroska, is_stored=False),
        ContentType("audio/3gpp", "audio", _is_3gpp, is_stored=False),
        ContentType("video/quicktime", "audio", _is_quicktime, is_stored=False),
        ContentType("video/mp4", "audio", _is_mp4_audio, is_stored=False),
        ContentType("video/webm", "audio", _is_webm, is_stored=False),
    )
}
ALL_TYPES = TYPES | _OTHERS
# What has not come far enough to be known.
UNKNOWN = ContentType("application/octet-stream", "", lambda _head: False, is_stored=False)
# What phones and browsers call the same bytes.
_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "audio/x-m4a": "audio/mp4",
    "audio/m4a": "audio/mp4",
    "audio/mp4a-latm": "audio/mp4",
    "audio/quicktime": "video/quicktime",
    "video/x-m4v": "video/mp4",
    "video/x-matroska": "audio/x-matroska",
    "video/3gpp": "audio/3gpp",
    "audio/3gpp2": "audio/3gpp",
    "video/3gpp2": "audio/3gpp",
    "audio/amr-wb": "audio/amr",
    "audio/opus": "audio/ogg",
    "audio/vorbis": "audio/ogg",
    "application/ogg": "audio/ogg",
    "video/ogg": "audio/ogg",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-pn-wav": "audio/wav",
    "audio/x-flac": "audio/flac",
    "audio/x-aiff": "audio/aiff",
    "image/heic-sequence": "image/heif-sequence",
    "audio/vnd.dlna.adts": "audio/aac",
    "audio/mpeg3": "audio/mpeg",
    "audio/x-mpeg-3": "audio/mpeg",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/x-aac": "audio/aac",
    "audio/aacp": "audio/aac",
}

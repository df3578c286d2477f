"""The chunks of WebP and PNG files, walked before a decoder trusts their lengths."""

import struct
import zlib
from collections.abc import Iterator, Mapping

from services.detector.formats.costs import too_complex
from shared.messages import PAGES_COUNTED

_PNG_START = 8
_ANIMATION = 0x02  # a flag of VP8X (RFC 9649, 2.7.1)

CHUNKS = 250_000
"""Chunks of a file; one with more was made to take time, 2 s for two million. Encoders put 8 KiB of
pixels into a chunk of PNG, which makes 32,768 of the largest file allowed by default; a frame of an
animation takes two, and frames are counted up to 100,000."""

PACKED_TEXTS = 32
"""Texts of a PNG that may be packed (`zTXt`, `iTXt`). libpng unpacks each twice, up to 8 MB, though
nobody reads them: 1,000 of 7 kB took two minutes. Programs write a handful."""

EXIF_BYTES = 1 << 20
"""EXIF that is read; a camera's has at most 64 KiB."""

ICC_BYTES = 1 << 20
"""A colour profile that is unpacked; the largest of printers have 4 MB, and are of CMYK."""

RAW_PROFILE_BYTES = 4 << 20
"""A text that holds EXIF, unpacked: two digits a byte of it, and lines."""

_RAW_PROFILES = (b"Raw profile type exif", b"Raw profile type APP1")
_EXIF_BEGINS = (b"Exif\0\0", b"II*\0", b"MM\0*")


def png_is_whole(content: bytes) -> bool:
    """Whether every chunk of a PNG fits into the file, and the last one is its end.

    OpenCV 4.14 allocates what a chunk claims, up to 4 GiB, before it looks for the bytes.
    (Layout: PNG specification, third edition, 5.3.)
    """
    at = _PNG_START
    while at + 12 <= len(content):
        at_kind = at + 4
        at += 12 + int.from_bytes(content[at:at_kind], "big")
        if content.startswith(b"IEND", at_kind):
            return at <= len(content)
    return False


def png_costs(content: bytes) -> None:
    """Refuse a PNG of too many chunks, or of too many texts to unpack.

    Raises:
        BadPicture: it has them.
    """
    texts = 0
    for count, (kind, _) in enumerate(_png_kinds(content), start=1):
        texts += kind in (b"zTXt", b"iTXt")
        if count > CHUNKS:
            raise too_complex("PNG", "chunks", count, CHUNKS)
        if texts > PACKED_TEXTS:
            raise too_complex("PNG", "packed texts", texts, PACKED_TEXTS)
        if kind == b"IEND":
            return


def png_metadata(content: bytes) -> tuple[bytes, bytes]:
    """EXIF and colour profile of a PNG, the first of each; b"" for what is absent or damaged."""
    exif = icc = written = b""
    for kind, at in _png_kinds(content):
        size = int.from_bytes(content[at - 8 : at - 4], "big")
        if kind == b"eXIf" and not exif and size <= EXIF_BYTES:
            exif = content[at : at + size]
        elif kind == b"iCCP" and not icc and size <= ICC_BYTES:
            icc = _unpacked(content[at : at + size])
        elif kind in (b"zTXt", b"tEXt") and not written and size <= RAW_PROFILE_BYTES:
            written = _raw_profile(kind, content[at : at + size])
        elif kind == b"IEND":
            break
    return exif or written, icc


def png_transparency(content: bytes | bytearray) -> bytes | None:
    """What a PNG's chunk `tRNS` holds (11.3.1.1); None where there is none before its pixels."""
    for kind, at in _png_kinds(content):
        if kind == b"tRNS":
            return bytes(
                content[at : at + min(256, int.from_bytes(content[at - 8 : at - 4], "big"))]
            )
        if kind == b"IDAT":
            return None
    return None


def _raw_profile(kind: bytes, text: bytes) -> bytes:
    """EXIF that ImageMagick and others wrote as a text before PNG had a chunk for it: a line with
    its kind, one with its length, and lines of hexadecimal digits (ImageMagick's coders/png.c,
    ExifTool's tag names of PNG TextualData). b"" where the text is another."""
    keyword, _, told = text.partition(b"\0")
    if keyword not in _RAW_PROFILES:
        return b""
    if kind == b"zTXt":
        told = _unpacked(text, RAW_PROFILE_BYTES)
    lines = told.split(b"\n", 3)
    if len(lines) < 4:
        return b""
    try:
        block = bytes.fromhex(lines[3].decode("ascii"))
    except ValueError:
        return b""
    return block if len(block) <= EXIF_BYTES and block.startswith(_EXIF_BEGINS) else b""


def _unpacked(profile: bytes, limit: int = ICC_BYTES) -> bytes:
    """A profile behind its name and the byte of its packing (PNG specification, 11.3.2.3)."""
    packed = profile.partition(b"\0")[2][1:]
    unpacking = zlib.decompressobj()
    try:
        unpacked = unpacking.decompress(packed, limit)
    except zlib.error:
        return b""
    return unpacked if unpacking.eof else b""


def webp_costs(content: bytes) -> None:
    """Refuse a WebP of too many chunks.

    Raises:
        BadPicture: it has them.
    """
    at, count = 12, 0
    while at + 8 <= len(content):
        count += 1
        if count > CHUNKS:
            raise too_complex("WebP", "chunks", count, CHUNKS)
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + size + size % 2


def apng_frames(content: bytes) -> int:
    """Frames of an animated PNG; 1 of any other. Counted up to `PAGES_COUNTED`.

    As many as the file announces and holds: a picture before the first frame is one of its own.
    (PNG specification, third edition, 11.3.)
    """
    kinds = _png_kinds(content)
    announced = 0
    for kind, at in kinds:
        if kind == b"acTL":
            announced = int.from_bytes(content[at : at + 4], "big")
        elif kind == b"fcTL" and announced:
            held = 1 + sum(1 for kind, _ in kinds if kind == b"fcTL")
            return min(announced, held, PAGES_COUNTED)
        elif kind == b"IDAT":
            if not announced:
                return 1
            held = sum(1 for kind, _ in kinds if kind == b"fcTL")
            return 1 + min(announced, held, PAGES_COUNTED - 1)
    return 1


def _png_kinds(content: bytes | bytearray) -> Iterator[tuple[bytes, int]]:
    """The kind of each chunk of a PNG, and where its data begins."""
    at = _PNG_START
    while at + 12 <= len(content):
        yield bytes(content[at + 4 : at + 8]), at + 8
        at += 12 + int.from_bytes(content[at : at + 4], "big")


def webp_frames(content: bytes) -> int:
    """Frames of a WebP: 1 where it is no animation. Counted up to `PAGES_COUNTED`."""
    if content[12:16] != b"VP8X" or not content[20:21] or not content[20] & _ANIMATION:
        return 1
    at, frames = 12, 0
    for _ in range(CHUNKS):
        if at + 8 > len(content) or frames == PAGES_COUNTED:
            break
        frames += content.startswith(b"ANMF", at)
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + size + size % 2
    return max(1, frames)


def webp_is_cut(content: bytes | bytearray) -> bool:
    """Whether a WebP says that it is longer than it is."""
    return int.from_bytes(content[4:8], "little") + 8 > len(content)


def webp_whole_frames(content: bytes) -> bytes:
    """A WebP that is cut, without the chunk that it ends in."""
    at = 12
    for _ in range(CHUNKS):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        following = at + 8 + size + size % 2
        if at + 8 > len(content) or following > len(content):
            break
        at = following
    return content[:4] + (at - 8).to_bytes(4, "little") + content[8:at]


def riff_chunks(content: bytes) -> dict[bytes, memoryview]:
    """The first chunk of each kind of a RIFF file, in the file's order."""
    view = memoryview(content)
    found: dict[bytes, memoryview] = {}
    at = 12
    while at + 8 <= len(view):
        size = int.from_bytes(view[at + 4 : at + 8], "little")
        found.setdefault(bytes(view[at : at + 4]), view[at + 8 : at + 8 + size])
        at += 8 + size + size % 2
    return found


def webp_size(chunks: Mapping[bytes, memoryview]) -> tuple[int, int] | None:
    """Width and height that a WebP claims (RFC 9649, 2.5 to 2.7); None where it claims none."""
    if not chunks:
        return None
    first, body = next(iter(chunks.items()))
    if len(body) < 10:
        return None
    if first == b"VP8X":
        packed = int.from_bytes(body[4:10], "little")
        return (packed & 0xFFFFFF) + 1, (packed >> 24) + 1
    if first == b"VP8L":
        packed = int.from_bytes(body[1:5], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF

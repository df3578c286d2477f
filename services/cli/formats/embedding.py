"""XMP packets in picture files themselves: read, put in and taken out, without decoding a pixel.

Segments and chunks are walked, and one is put in, replaced or taken out; every other byte stays.
What would become wrong by that is refused: offsets of a second picture, a packet in several parts,
a signature. Files come from strangers: how far is walked has an end.

Sources: XMP specification, part 3, 1.1.3 (JPEG), 1.1.5 (PNG); RFC 9649 (WebP).
"""

import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

PIECES = 100_000
"""Segments or chunks of one file; a PNG of 100 megapixels in chunks of 8 KiB has some 12,000."""

_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"
JPEG_PACKET_BYTES = 65_533 - len(_JPEG_XMP)
"""What one segment holds: 65,535 bytes, of which two are its length."""
_APP0, _APP1, _APP2, _APP11 = 0xE0, 0xE1, 0xE2, 0xEB
_SCAN = 0xDA

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_XMP = b"XML:com.adobe.xmp\0"
_PNG_PLAIN = b"\0\0\0\0"
"""Of an `iTXt` chunk: not compressed, by no method, of no language, under no other keyword."""

_WEBP_HAS_XMP, _WEBP_HAS_ALPHA = 0x04, 0x10


class NotEmbeddable(ValueError):
    """A file that no packet is put into, and why."""


class Place(NamedTuple):
    """Where the piece with the packet lies in a file; where it would, both ends are one."""

    packet: bytes | None
    start: int
    end: int


class Holder(NamedTuple):
    """A format that can hold a packet.

    Attributes:
        recognises: whether a file is one, by its first bytes.
        find: the place of its packet. Raises `NotEmbeddable`.
        put: the file with a packet in that place, or with none. Raises `NotEmbeddable`.
    """

    recognises: Callable[[bytes], bool]
    find: Callable[[bytes], Place]
    put: Callable[[bytes, Place, bytes | None], bytes]


def holder_of(content: bytes) -> Holder:
    """What knows how a file holds its packet.

    Raises:
        NotEmbeddable: nothing does.
    """
    for holder in HOLDERS:
        if holder.recognises(content):
            return holder
    raise NotEmbeddable("only JPEG, PNG and WebP hold regions in themselves")


def _damaged() -> NotEmbeddable:
    return NotEmbeddable("it is damaged")


def _only(found: list[Place], otherwise: int) -> Place:
    if len(found) > 1:
        raise NotEmbeddable("it holds several packets of XMP")
    return found[0] if found else Place(None, otherwise, otherwise)


def _segments(content: bytes) -> Iterator[tuple[int, bytes, int, int]]:
    """Each segment before the first scan: its marker and body, and where it starts and ends."""
    at = 2
    for _ in range(PIECES):
        start = at
        while content[at + 1 : at + 2] == b"\xff":  # fills up
            at += 1
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        end = at + 2 + length
        if content[at : at + 1] != b"\xff" or length < 2 or end > len(content):
            raise _damaged()
        if content[at + 1] == _SCAN:
            return
        yield content[at + 1], content[at + 4 : end], start, end
        at = end
    raise _damaged()


def _find_in_jpeg(content: bytes) -> Place:
    found, otherwise, heading = [], 2, True
    for marker, body, start, end in _segments(content):
        if marker == _APP1 and body.startswith(_JPEG_XMP):
            found.append(Place(body[len(_JPEG_XMP) :], start, end))
        if marker == _APP1 and body.startswith(_JPEG_EXTENDED):
            raise NotEmbeddable("its XMP is in several parts")
        if marker == _APP2 and body.startswith(b"MPF\0"):
            raise NotEmbeddable("it holds several pictures")
        if marker == _APP11:
            raise NotEmbeddable("it may be signed (JUMBF)")
        heading = heading and (marker == _APP0 or (marker == _APP1 and body.startswith(b"Exif\0")))
        if heading:
            otherwise = end
    return _only(found, otherwise)


def _put_in_jpeg(content: bytes, place: Place, packet: bytes | None) -> bytes:
    piece = b""
    if packet is not None:
        if len(packet) > JPEG_PACKET_BYTES:
            raise NotEmbeddable(f"its XMP would be longer than {JPEG_PACKET_BYTES:,} bytes")
        body = _JPEG_XMP + packet
        piece = bytes((0xFF, _APP1)) + (len(body) + 2).to_bytes(2, "big") + body
    return content[: place.start] + piece + content[place.end :]


def _find_in_png(content: bytes) -> Place:
    found, at, first = [], len(_PNG), 0
    for _ in range(PIECES):
        length = int.from_bytes(content[at : at + 4], "big")
        kind, end = content[at + 4 : at + 8], at + length + 12
        if len(kind) < 4 or end > len(content):
            raise _damaged()
        first = first or end
        head = content[at + 8 : min(at + 8 + 64, end - 4)]
        if kind == b"iTXt" and head.startswith(_PNG_XMP):
            if not head[len(_PNG_XMP) :].startswith(_PNG_PLAIN):
                raise NotEmbeddable("its XMP is compressed or in a language of its own")
            begins = at + 8 + len(_PNG_XMP) + len(_PNG_PLAIN)
            found.append(Place(content[begins : end - 4], at, end))
        if kind in (b"tEXt", b"zTXt") and head.startswith(b"Raw profile type xmp\0"):
            raise NotEmbeddable("its XMP is in the form of ImageMagick")
        if kind == b"caBX":
            raise NotEmbeddable("it is signed (C2PA)")
        if kind == b"IEND":
            return _only(found, first)
        at = end
    raise _damaged()


def _put_in_png(content: bytes, place: Place, packet: bytes | None) -> bytes:
    piece = b""
    if packet is not None:
        body = b"iTXt" + _PNG_XMP + _PNG_PLAIN + packet
        piece = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return content[: place.start] + piece + content[place.end :]


def _find_in_webp(content: bytes) -> Place:
    if int.from_bytes(content[4:8], "little") + 8 != len(content):
        raise _damaged()
    found: list[Place] = []
    at = 12
    for _ in range(PIECES):
        if at == len(content):
            return _only(found, at)
        kind, length = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        end = at + 8 + length + length % 2
        if end > len(content):
            raise _damaged()
        if kind == b"XMP ":
            found.append(Place(content[at + 8 : at + 8 + length], at, end))
        if kind == b"C2PA":
            raise NotEmbeddable("it is signed (C2PA)")
        at = end
    raise _damaged()


def _put_in_webp(content: bytes, place: Place, packet: bytes | None) -> bytes:
    piece = b""
    if packet is not None:
        piece = b"XMP " + len(packet).to_bytes(4, "little") + packet + b"\0" * (len(packet) % 2)
    chunks = content[12 : place.start] + piece + content[place.end :]
    if chunks[:4] != b"VP8X":
        chunks = _extended_header(chunks) + chunks
    flags = chunks[8] | _WEBP_HAS_XMP if piece else chunks[8] & ~_WEBP_HAS_XMP
    chunks = chunks[:8] + bytes((flags,)) + chunks[9:]
    return b"RIFF" + (len(chunks) + 4).to_bytes(4, "little") + b"WEBP" + chunks


def _extended_header(chunks: bytes) -> bytes:
    """The `VP8X` chunk of a file that has none: it holds one picture, whose header has its size."""
    kind, data = chunks[:4], chunks[8:18]
    if kind == b"VP8L" and data[:1] == b"\x2f":
        told = int.from_bytes(data[1:5], "little")
        width, height = (told & 0x3FFF) + 1, (told >> 14 & 0x3FFF) + 1
        flags = _WEBP_HAS_ALPHA if told >> 28 & 1 else 0
    elif kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(data[n : n + 2], "little") & 0x3FFF for n in (6, 8))
        flags = 0
    else:
        raise _damaged()
    if not width or not height:
        raise _damaged()
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X" + (10).to_bytes(4, "little") + bytes((flags, 0, 0, 0)) + size


HOLDERS = (
    Holder(lambda content: content[:3] == b"\xff\xd8\xff", _find_in_jpeg, _put_in_jpeg),
    Holder(lambda content: content.startswith(_PNG), _find_in_png, _put_in_png),
    Holder(
        lambda content: content[:4] == b"RIFF" and content[8:12] == b"WEBP",
        _find_in_webp,
        _put_in_webp,
    ),
)

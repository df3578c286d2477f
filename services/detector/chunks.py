"""The chunks of WebP and PNG files, walked before a decoder trusts their lengths."""

import struct
from collections.abc import Mapping

_PNG_START = 8


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

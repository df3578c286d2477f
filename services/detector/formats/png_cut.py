"""A PNG that lacks its end, made whole again with what there is of its pixels.

Rows that are missing become black, and transparent where the PNG has alpha. (PNG specification,
third edition: 5.3 chunks, 8.1 interlacing, 10.1 packing of pixels.)
"""

import zlib
from collections.abc import Iterator

_START = 8
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""Of Adam7: the first column and row of each pass, and how far apart they are."""

_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"cICP", b"gAMA", b"cHRM", b"sRGB")
_FED = 1 << 10
_STEP = 1 << 20
"""Bytes of pixels that are held at a time."""


def mended(content: bytes) -> bytes | None:
    """The PNG with all pixels that its header announces; None where it has none at all.

    What is unpacked is bounded by the size that the header tells, which is judged before.
    """
    kept = b""
    packed = []
    for kind, body in _chunks(content):
        if kind == b"IDAT":
            packed.append(body)
        elif kind in _KEPT and not packed:
            kept += _chunk(kind, bytes(body))
    needed = _unpacked_bytes(content[16:29])
    repacked = _repacked(packed, needed) if needed else None
    if repacked is None:
        return None
    return content[:_START] + kept + _chunk(b"IDAT", repacked) + _chunk(b"IEND", b"")


def _chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Kind and body of each chunk; of the last one as much as there is."""
    view = memoryview(content)
    at = _START
    while at + 8 < len(view):
        size = int.from_bytes(view[at : at + 4], "big")
        yield bytes(view[at + 4 : at + 8]), view[at + 8 : at + 8 + size]
        at += 12 + size


def _chunk(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + kind + body + check


def _unpacked_bytes(header: bytes) -> int:
    """Bytes of all rows, each with the byte of its filter; 0 where the header is nonsense."""
    if len(header) < 13 or header[9] not in _CHANNELS:
        return 0
    width, height = (int.from_bytes(header[at : at + 4], "big") for at in (0, 4))
    bits = header[8] * _CHANNELS[header[9]]
    passes = _PASSES if header[12] else ((0, 0, 1, 1),)
    total = 0
    for column, row, across, down in passes:
        wide, high = -(-(width - column) // across), -(-(height - row) // down)
        total += high * (1 + -(-wide * bits // 8)) if wide > 0 and high > 0 else 0
    return total


def _repacked(packed: list[memoryview], needed: int) -> bytes | None:
    """The rows packed again, with zeros for those that are missing; None where all are."""
    repacking = zlib.compressobj(1)
    pieces = []
    left = needed
    for piece in _unpacked(packed):
        pieces.append(repacking.compress(piece[:left]))
        left -= min(left, len(piece))
        if not left:
            break
    if left == needed:
        return None
    while left:
        pieces.append(repacking.compress(bytes(min(left, _STEP))))
        left -= min(left, _STEP)
    return b"".join([*pieces, repacking.flush()])


def _fed(packed: list[memoryview]) -> Iterator[bytes]:
    """Few bytes at a time: what is unpacked is lost with the call that meets an error."""
    for part in packed:
        for at in range(0, len(part), _FED):
            yield bytes(part[at : at + _FED])


def _unpacked(packed: list[memoryview]) -> Iterator[bytes]:
    """What can be unpacked, in pieces of at most `_STEP` bytes."""
    unpacking = zlib.decompressobj()
    try:
        for fed in _fed(packed):
            waiting = fed
            while waiting and not unpacking.eof:
                if piece := unpacking.decompress(waiting, _STEP):
                    yield piece
                waiting = unpacking.unconsumed_tail
    except zlib.error:
        return

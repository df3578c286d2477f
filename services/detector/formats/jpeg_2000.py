"""JPEG 2000: a code stream, alone or in a file of boxes (ISO/IEC 15444-1, annexes A, B and I).

OpenJPEG, which decodes, sets up every tile, precinct and code-block before it sees a byte of
theirs, and the sizes of all three are the file's choice: 40 kB of them took 8.8 GB.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from services.detector.formats.boxes import boxes
from services.detector.formats.costs import larger_than_told, too_complex
from services.detector.formats.format import Format, Header, begins, damaged
from services.detector.formats.opencv import decoder
from services.detector.formats.pillow import decode_transparent
from services.detector.models.model import Pixels

_NAME = "JPEG 2000"

TILES = 4_096
"""Tiles of a picture, 36 kB each in the decoder. Satellites' have 1,024 pixels a side and scanners'
256 or more, which makes 1,832 of 120 megapixels."""

COMPONENTS = 4
"""Components that decoders here read: grey or three colours, and alpha."""

_WITH_ALPHA = (2, 4)
"""Grey and alpha, or three colours and alpha (or four inks)."""

CODE_BLOCKS = 500_000
"""Code-blocks of a picture, 465 bytes each in the decoder. Encoders make them 64 x 64 or 32 x 32
pixels, the latter 352,000 of 120 megapixels in three colours."""

PRECINCTS = 200_000
"""Precincts of a picture; of 128 x 128 pixels, the smallest in use, there are 30,000."""

PACKETS = 2_000_000
"""Precincts times layers of quality; there are rarely more than 20 layers."""

SEGMENTS = 20_000
"""Marker segments in all heads; each tile has one at the least, and some a few."""

_BEGIN, _END = b"\xff\x4f\xff\x51", 0xD9
_SIZE, _CODING, _COMPONENT, _TILE_PART, _DATA = 0x51, 0x52, 0x53, 0x90, 0x93


@dataclass(frozen=True)
class _Size:
    """SIZ: the picture's and the tiles' width and height, and how many components there are."""

    picture: tuple[int, int]
    tile: tuple[int, int]
    tiles: int
    components: int


def _code_stream(content: bytes) -> tuple[int, tuple[int, int] | None]:
    """Where the code stream begins, and the size that the boxes before it tell."""
    if content.startswith(_BEGIN):
        return 0, None
    told: tuple[int, int] | None = None
    for box in boxes(_NAME, content, 0, len(content)):
        if box.kind == b"jp2h":
            for inner in boxes(_NAME, content, box.start, box.end):
                if inner.kind == b"ihdr" and inner.end - inner.start >= 8 and told is None:
                    height, width = struct.unpack_from(">II", content, inner.start)
                    told = width, height
        elif box.kind == b"jp2c" and content.startswith(_BEGIN, box.start):
            return box.start, told
    raise damaged(_NAME, "it holds no code stream")


def _segments(content: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Marker and body of each segment in the heads of the stream and of its tile-parts."""
    at, part, count = at + 2, 0, 0
    while at + 4 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == _END:
            return
        if marker == _DATA:
            at = part or len(content)
            continue
        count += 1
        if count > SEGMENTS:
            raise too_complex(_NAME, "segments", count, SEGMENTS)
        body = content[at + 4 : at + 2 + length]
        if length < 2:
            return
        if marker == _TILE_PART:
            size = int.from_bytes(body[2:6], "big")
            part = at + size if size > 2 + length else 0  # 0: up to the end
        yield marker, body
        at += 2 + length


def _size(content: bytes, at: int) -> _Size:
    """What SIZ, the first segment, tells.

    Raises:
        BadPicture: it is damaged.
    """
    body = content[at + 4 : at + 44]
    if len(body) < 38 + 2:
        raise damaged(_NAME, "its header is cut")
    _, _, x, y, left, top, *tile, tile_left, tile_top, components = struct.unpack_from(
        ">HHIIIIIIIIH", body
    )
    width, height = tile
    if x <= left or y <= top or not width or not height or tile_left > left or tile_top > top:
        raise damaged(_NAME, "its sizes contradict each other")
    tiles = -((tile_left - x) // width) * -((tile_top - y) // height)
    return _Size((x - left, y - top), (min(width, x), min(height, y)), tiles, components)


def _costs(content: bytes) -> None:
    """Refuse a JPEG 2000 of too many pieces.

    Raises:
        BadPicture: it has them, or no sizes.
    """
    at, _ = _code_stream(content)
    size = _size(content, at)
    for what, count, cap in (
        ("tiles", size.tiles, TILES),
        ("components", size.components, COMPONENTS),
    ):
        if count > cap:
            raise too_complex(_NAME, what, count, cap)
    for marker, body in _segments(content, at):
        # What one tile or component chooses counts as if all did.
        if marker == _CODING and len(body) >= 10:
            _judge_coding(size, int.from_bytes(body[2:4], "big"), body[0] & 1, body[5:])
        elif marker == _COMPONENT and len(body) >= 7:
            _judge_coding(size, 1, body[1] & 1, body[2:])


def _judge_coding(size: _Size, layers: int, has_precincts: int, told: bytes) -> None:
    """Judge one COD or COC (A.6.1, A.6.2), from its number of decompositions on."""
    levels = min(told[0], 32)
    block = [(side & 15) + 2 for side in told[1:3]]
    blocks = precincts = 0
    for resolution in range(levels + 1):
        packed = told[5 + resolution] if has_precincts and 5 + resolution < len(told) else 0xFF
        precinct = packed & 15, packed >> 4
        down = levels - resolution
        precincts += _pieces(size.tile, down, precinct)
        # Behind the first resolution come three bands of half of its size, and so are precincts.
        bands, halved = (3, 1) if resolution else (1, 0)
        within = [max(0, min(one, two - halved)) for one, two in zip(block, precinct, strict=True)]
        blocks += bands * _pieces(size.tile, down + halved, (within[0], within[1]))
    times = size.tiles * size.components
    for what, count, cap in (
        ("code-blocks", blocks * times, CODE_BLOCKS),
        ("precincts", precincts * times, PRECINCTS),
        ("packets", precincts * times * layers, PACKETS),
    ):
        if count > cap:
            raise too_complex(_NAME, what, count, cap)


def _pieces(sides: tuple[int, int], down: int, powers: tuple[int, int]) -> int:
    """Pieces of 2**power pixels a side, of sides that are halved so often."""
    across, along = (
        -(-side // (1 << (down + power))) for side, power in zip(sides, powers, strict=True)
    )
    return across * along


def _read_header(content: bytes) -> Header:
    """The size is the code stream's, which is what decoders read."""
    at, told = _code_stream(content)
    held = _size(content, at).picture
    if told is not None and told != held:
        raise larger_than_told(_NAME, told, held)
    return Header(_NAME, *held)


_by_opencv = decoder()


def _decode(content: bytes, header: Header, reduced: int) -> Pixels:
    """OpenCV gives no alpha of grey pictures, and takes the inks of CMYK for it."""
    at, _ = _code_stream(content)
    if _size(content, at).components in _WITH_ALPHA:
        return decode_transparent(io.BytesIO(content), header, "JPEG2000")
    return _by_opencv(content, header, reduced)


JPEG_2000 = Format(
    name=_NAME,
    recognises=begins(b"\0\0\0\x0cjP  \r\n\x87\n", _BEGIN),
    costs=_costs,
    read_header=_read_header,
    decode=_decode,
)

"""HEICs that no encoder here writes: grids of tiles, and files that lie about themselves."""

import io
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from services.detector.formats.avif_items import inside, items
from services.detector.formats.boxes import Box
from tests.support.pictures import encoded


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def _coded(picture: Image.Image, **options: Any) -> tuple[bytes, bytes]:  # Any: of the encoder
    """The configuration (`hvcC`, a whole box) and the coded pixels of a picture."""
    content = encoded(picture, "HEIF", **options)
    [meta] = inside("HEIC", content, Box(b"", 0, len(content)), b"meta")
    [properties] = inside("HEIC", content, meta, b"iprp", 4)
    [container] = inside("HEIC", content, properties, b"ipco")
    configuration = inside("HEIC", content, container, b"hvcC")[0]
    pixels = next(iter(items("HEIC", content, frozenset({b"hvc1"})))).body
    return box(b"hvcC", content[configuration.start : configuration.end]), pixels


def heic_10_bits(picture: Image.Image) -> bytes:
    """As phones write HDR: ten bits a channel."""
    wide = np.asarray(picture).astype("<u2") * 257
    file = io.BytesIO()
    pillow_heif.encode("RGB;16", picture.size, wide.tobytes(), file, quality=90)
    return file.getvalue()


def tiles_of(picture: Image.Image, side: int) -> list[Image.Image]:
    """Squares, row by row; those at the edges are filled up with black."""
    return [
        picture.crop((x, y, x + side, y + side))
        for y in range(0, picture.height, side)
        for x in range(0, picture.width, side)
    ]


def grid(
    tiles: Sequence[Image.Image],
    across: int,
    size: tuple[int, int],
    *,
    named: Sequence[int] | None = None,
    down: int | None = None,
    told: tuple[int, int] | None = None,
    **options: Any,  # Any: of the encoder
) -> bytes:
    """A HEIC whose picture is put together of tiles of one size, `across` side by side.

    `named` are the numbers of the tiles as the grid refers to them, from 1 on: one may come often.
    `told` is what the container says of each tile's size.
    """
    coded = [_coded(tile, **options) for tile in tiles]
    named = range(1, len(tiles) + 1) if named is None else named
    down = len(named) // across if down is None else down
    whole = len(tiles) + 1
    head = struct.pack(">BBBBHH", 0, 0, down - 1, across - 1, *size)
    entries = [(n, b"hvc1", 1) for n in range(1, whole)] + [(whole, b"grid", 0)]
    infos = b"".join(
        box(b"infe", struct.pack(">IHH", 0x02000000 | hidden, number, 0), kind, b"\0")
        for number, kind, hidden in entries
    )
    references = box(b"dimg", struct.pack(f">HH{len(named)}H", whole, len(named), *named))
    properties = b"".join(
        [
            coded[0][0],
            box(b"ispe", struct.pack(">III", 0, *(told or tiles[0].size))),
            box(b"ispe", struct.pack(">III", 0, *size)),
        ]
    )
    of_tiles = b"".join(struct.pack(">HBBB", n, 2, 0x81, 2) for n in range(1, whole))
    associations = struct.pack(">II", 0, whole) + of_tiles + struct.pack(">HBB", whole, 1, 3)

    def meta(start: int) -> bytes:
        places, at = b"", start
        for number, (_, pixels) in enumerate(coded, start=1):
            places += struct.pack(">HHHHII", number, 0, 0, 1, at, len(pixels))
            at += len(pixels)
        places += struct.pack(">HHHHII", whole, 1, 0, 1, 0, len(head))
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", struct.pack(">IH", 0, whole)),
            box(b"iloc", struct.pack(">IHH", 0x01000000, 0x4400, whole), places),
            box(b"iinf", struct.pack(">IH", 0, whole), infos),
            box(b"iref", bytes(4), references),
            box(b"iprp", box(b"ipco", properties), box(b"ipma", associations)),
            box(b"idat", head),
        )

    kind = box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    before = kind + meta(0)
    return kind + meta(len(before) + 8) + box(b"mdat", *(pixels for _, pixels in coded))

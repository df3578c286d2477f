"""PSD and PSB: the composite, of 8 or 16 bits, grey, indexed, RGB or CMYK, with its transparency.

Its rows lie plane by plane, as they are or packed by PackBits; so does a TIFF of planes allow it.
The composite is therefore read as a TIFF around the same bytes, by the decoder that TIFFs have.
"""

import struct

import numpy as np

from services.detector.failures import BadPicture
from services.detector.formats.exif import orientation_of, parsed
from services.detector.formats.format import Format, Header, begins
from services.detector.formats.opencv import decoder
from services.detector.formats.psd_sections import Told, told_by
from services.detector.formats.tolerant import truncated
from services.detector.models.model import Pixels
from shared.reasons import Reason

_GREY, _INDEXED, _RGB, _CMYK, _DUOTONE = 1, 2, 3, 4, 8
_COLOURS = {_GREY: 1, _INDEXED: 1, _RGB: 3, _CMYK: 4, _DUOTONE: 1}
"""Channels of each mode that are read."""

_OTHER_MODES = {0: "a bitmap", 7: "many channels", 9: "Lab colours"}
_RAW, _PACKED = 0, 1
_TIFF_PACKINGS = {_RAW: 1, _PACKED: 32773}
_MIN_IS_BLACK, _TIFF_RGB = 1, 2

_by_opencv = decoder()


def _costs(content: bytes) -> None:
    """Refuse a file of too many resources. Layers are passed over as a whole, and there are at most
    as many rows as its size, which is judged, has.

    Raises:
        BadPicture: it has them.
    """
    told_by(content)


def _read_header(content: bytes) -> Header:
    told = told_by(content)
    name = "PSB" if told.wide else "PSD"
    if told.mode not in _COLOURS or told.channels < _COLOURS[told.mode]:
        raise _unsupported(name, f"of {_OTHER_MODES.get(told.mode, 'unknown colours')}")
    if told.bits not in (8, 16) or (told.mode == _INDEXED and told.bits != 8):
        raise _unsupported(name, f"of {told.bits} bits a channel")
    if not told.has_composite:
        raise BadPicture(
            Reason.UNSUPPORTED,
            f"the {name} holds layers only; save it again with Photoshop's "
            f'"Maximize Compatibility", or as JPEG or PNG',
        )
    exif = parsed(told.exif)
    return Header("PSD", told.width, told.height, orientation_of(exif), told.icc, exif)


def _unsupported(name: str, what: str) -> BadPicture:
    return BadPicture(
        Reason.UNSUPPORTED,
        f"a {name} {what}, which this build does not read; convert it to JPEG or PNG",
    )


def _decode(content: bytes, header: Header, _: int) -> Pixels:
    told = told_by(content)
    offsets, lengths, packing = _rows(content, told)
    count = _COLOURS[told.mode]

    def planes(first: int, number: int) -> Pixels:
        chosen = slice(first * told.height, (first + number) * told.height)
        file = _as_tiff(content, told, packing, number, offsets[chosen], lengths[chosen])
        return _by_opencv(file, Header("PSD", told.width, told.height), 1)

    is_cmyk = told.mode == _CMYK
    colours = _without_black(planes(0, 3), planes(3, 1)) if is_cmyk else planes(0, count)
    if told.mode == _INDEXED:
        table = np.zeros((256, 3), np.uint8)
        entries = np.frombuffer(told.palette[: len(told.palette) // 3 * 3], np.uint8)
        table[: len(entries) // 3] = entries.reshape(3, -1).T
        colours = table[colours[:, :, 0]][:, :, ::-1]
    if not told.alpha or told.channels <= count:
        return np.ascontiguousarray(colours)
    alpha = planes(count, 1)[:, :, :1]
    if alpha.min() == 255:
        return np.ascontiguousarray(colours)
    return np.concatenate([colours, alpha], axis=2)


def _without_black(inks: Pixels, black: Pixels) -> Pixels:
    """CMYK, which Photoshop stores as light that is left (255: no ink), as BGR."""
    product = inks.astype(np.uint16) * black[:, :, :1]
    return np.asarray((product + 127) // 255, np.uint8)


def _rows(content: bytes, told: Told) -> tuple["np.ndarray", "np.ndarray", int]:
    """Where each row of each plane lies in the file, how many bytes it has, and their packing."""
    packing = int.from_bytes(content[told.pixels : told.pixels + 2], "big")
    at = told.pixels + 2
    count = told.channels * told.height
    if packing not in _TIFF_PACKINGS:
        raise _unsupported("PSD", "whose composite is packed by ZIP")
    if packing == _RAW:
        lengths = np.full(count, told.width * told.bits // 8, np.int64)
    else:
        kind = np.dtype(">u4" if told.wide else ">u2")
        table = content[at : at + count * kind.itemsize]
        at += count * kind.itemsize
        if len(table) < count * kind.itemsize:
            raise truncated("PSD")
        lengths = np.frombuffer(table, kind).astype(np.int64)
    offsets = at + np.cumsum(lengths) - lengths
    if count and offsets[-1] + lengths[-1] > len(content):
        raise truncated("PSD")
    return offsets, lengths, packing


def _as_tiff(
    content: bytes,
    told: Told,
    packing: int,
    planes: int,
    offsets: "np.ndarray",
    lengths: "np.ndarray",
) -> bytes:
    """A TIFF of some planes (TIFF revision 6.0, PlanarConfiguration 2), a strip a row."""
    first = int(offsets[0])
    pixels = content[first : int(offsets[-1] + lengths[-1])]
    bits = struct.pack(f">{planes}H", *[told.bits] * planes)
    start = 8 + 2 + 10 * 12 + 4
    tables = [bits, b"", lengths.astype(">u4").tobytes()]
    places = [start, start + len(bits), start + len(bits) + 4 * len(offsets)]
    data = places[2] + len(tables[2])
    tables[1] = (offsets - first + data).astype(">u4").tobytes()
    entries = (
        (256, 4, 1, told.width),
        (257, 4, 1, told.height),
        (258, 3, planes, places[0] if planes > 2 else told.bits << 16),
        (259, 3, 1, _TIFF_PACKINGS[packing] << 16),
        (262, 3, 1, (_TIFF_RGB if planes == 3 else _MIN_IS_BLACK) << 16),
        (273, 4, len(offsets), places[1] if len(offsets) > 1 else data),
        (277, 3, 1, planes << 16),
        (278, 4, 1, 1),
        (279, 4, len(offsets), places[2] if len(offsets) > 1 else int(lengths[0])),
        (284, 3, 1, (2 if planes > 1 else 1) << 16),
    )
    directory = b"".join(struct.pack(">HHII", *entry) for entry in entries)
    head = b"MM\0*" + struct.pack(">IH", 8, len(entries)) + directory + bytes(4)
    return b"".join([head, *tables, pixels])


PSD = Format(
    name="PSD",
    recognises=begins(b"8BPS"),
    costs=_costs,
    read_header=_read_header,
    decode=_decode,
)

"""How files of camera raw are told from others, and what is read of them before LibRaw does.

Many are TIFFs by their first bytes. A raw is known by pixels that only a sensor has: a mosaic of
colours, or a packing of its maker's (TIFF/EP, DNG 1.7.1; ExifTool's tables of Compression).
"""

from collections.abc import Iterator

from PIL import Image

from services.detector.formats import tiff
from services.detector.formats.directories import Directory, layout_of, read_directory
from services.detector.formats.format import brands

_MAGICS = (
    b"II*\0\x10\0\0\0CR",
    b"FUJIFILMCCD-RAW",
    b"IIRO",
    b"IIRS",
    b"MMOR",
    b"IIU\0",
    b"FOVb",
    b"\0MRM",
    b"II\x1a\0\0\0HEAPCCDR",
)
"""CR2, RAF, ORF (three), RW2, X3F, MRW, CRW."""

_TIFFS = (b"II*\0", b"MM\0*")

SUB_DIRECTORIES = 16
"""Directories that the first one names and that are looked at; cameras write up to four."""

_SUB_IFDS, _DNG_VERSION, _COMPRESSION, _PHOTOMETRIC = 330, 50706, 259, 262
_MAKE, _MODEL, _MOMENT = 271, 272, 306
_OF_SENSORS = frozenset({32803, 34892})
"""Photometric interpretations: a mosaic of colours, and linear raw."""

_OF_MAKERS = frozenset({32767, 32769, 32770, 34713, 65000, 65535})
"""Compressions: of Sony, packed raw, Samsung, Nikon, Kodak, Pentax."""

TEXT_BYTES = 64
"""Of the maker and the model."""


def begins_as_raw(head: bytes) -> bool:
    """Whether a file's first bytes are those of a raw that is no TIFF."""
    return head.startswith(_MAGICS) or b"crx " in brands(head)


def is_raw_tiff(content: bytes) -> bool:
    """Whether a file that begins as a TIFF is a camera's raw."""
    if not content.startswith(_TIFFS):
        return False
    first, *others = _directories(content)
    if _DNG_VERSION in first.fields:
        return True
    return _MAKE in first.fields and any(
        one.number(content, _PHOTOMETRIC) in _OF_SENSORS
        or one.number(content, _COMPRESSION) in _OF_MAKERS
        for one in (first, *others)
    )


def _directories(content: bytes) -> Iterator[Directory]:
    """The first directory and those that it names."""
    layout = layout_of(content)
    first = read_directory(content, layout, layout.number(content, layout.first, layout.offset))
    yield first
    for at in first.offsets(content, _SUB_IFDS, SUB_DIRECTORIES):
        yield read_directory(content, layout, at)


def costs(content: bytes) -> None:
    """Refuse a raw whose directories, where it is a TIFF, name too much.

    Raises:
        BadPicture: they do.
    """
    if content.startswith(_TIFFS):
        tiff.costs(content)


def exif_of(content: bytes) -> Image.Exif:
    """When and by which camera, of a raw that is a TIFF; of any other nothing."""
    exif = Image.Exif()
    if not content.startswith(_TIFFS):
        return exif
    first = next(_directories(content))
    for tag in (_MAKE, _MODEL, _MOMENT):
        kind, count, held = first.fields.get(tag, (0, 0, b""))
        if kind != 2 or not count:
            continue
        if count > len(held):
            at = int.from_bytes(held, first.layout.order)
            held = content[at : at + min(count, TEXT_BYTES)]
        exif[tag] = held[:count].split(b"\0")[0].decode("ascii", "replace")
    return exif

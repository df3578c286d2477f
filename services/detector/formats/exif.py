"""EXIF blocks, parsed; damage costs the metadata only, since the picture matters more."""

import warnings

from PIL import ExifTags, Image

from services.detector.formats.directories import layout_of, read_directory

ORIENTATION = 0x0112

BLOCK_BYTES = 1 << 20
"""An EXIF block that is read; a camera's has at most 64 KiB."""

ENTRIES = 1_000
"""Entries of one directory of a block. The standard defines about 150."""

_NAMED_BY = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_PREFIX = b"Exif\0\0"


def parsed(block: object) -> Image.Exif:
    """An EXIF block; empty where it is absent, damaged, or costs more than one that tells of a
    picture: Pillow copies each value, and values may lie over each other."""
    exif = Image.Exif()
    if isinstance(block, bytes) and block and _is_modest(block):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exif.load(block)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - parsers of damaged metadata raise anything
            return Image.Exif()
    return exif


def _is_modest(block: bytes) -> bool:
    content = block.removeprefix(_PREFIX)
    if len(content) > BLOCK_BYTES:
        return False
    layout = layout_of(content)
    main = read_directory(content, layout, layout.number(content, layout.first, layout.offset))
    named = [read_directory(content, layout, main.number(content, tag)) for tag in _NAMED_BY]
    directories = [main, *named]
    return max(one.entries for one in directories) <= ENTRIES and sum(
        one.value_bytes for one in directories
    ) <= len(content)


def orientation_of(exif: Image.Exif) -> int:
    """1 to 8; 1 where it is absent or nonsense."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = exif.get(ORIENTATION)  # values are parsed only here
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - parsers of damaged metadata raise anything
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1

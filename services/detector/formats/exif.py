"""EXIF blocks, parsed; damage costs the metadata only, since the picture matters more."""

import warnings

from PIL import Image

ORIENTATION = 0x0112


def parsed(block: object) -> Image.Exif:
    """An EXIF block; empty where it is absent or damaged."""
    exif = Image.Exif()
    if isinstance(block, bytes) and block:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exif.load(block)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - parsers of damaged metadata raise anything
            return Image.Exif()
    return exif


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

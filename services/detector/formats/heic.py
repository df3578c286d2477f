"""HEIC and HEIF, and the pictures of one that holds several (ISO/IEC 23008-12).

Decoded by libheif and libde265 (pi-heif). Which way up a picture is, its properties alone say
(`irot`, `imir`), which libheif applies: EXIF's orientation only repeats them (A.2.2).
"""

from collections.abc import Iterator
from functools import partial
from itertools import product

import numpy as np
import pi_heif

from services.detector.failures import BadPicture
from services.detector.formats.costs import larger_than_told
from services.detector.formats.exif import ORIENTATION, parsed
from services.detector.formats.format import (
    Format,
    Header,
    Pages,
    StoredPage,
    branded,
    damaged,
)
from services.detector.formats.heic_items import costs, is_cut, sizes
from services.detector.formats.pillow import words
from services.detector.models.model import Pixels
from services.detector.visible import without_needless_alpha
from shared.messages import PAGES_LIMIT
from shared.reasons import Reason

LARGER_CODED = 512
"""Pixels by which a side may be longer as coded than as told: a tile at the edge is cut."""

# One slot, one thread; and nothing is set up that is no picture of its own.
pi_heif.options.DECODE_THREADS = 1
pi_heif.options.THUMBNAILS = False
pi_heif.options.DEPTH_IMAGES = False
pi_heif.options.AUX_IMAGES = False


def _opened(content: bytes) -> pi_heif.HeifFile:
    try:
        opened = pi_heif.open_heif(bytes(content), convert_hdr_to_8bit=True, bgr_mode=True)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - parsers of damaged files raise anything
        raise damaged("HEIC", words(error)) from None
    if not len(opened):
        raise damaged("HEIC", "none of its pictures can be read")
    return opened


def _header_of(image: pi_heif.HeifImage) -> Header:
    width, height = image.size
    exif = parsed(image.info.get("exif"))
    exif.pop(ORIENTATION, None)
    return Header("HEIC", width, height, 1, image.info.get("icc_profile") or b"", exif)


def _read_header(content: bytes) -> Header:
    """What is told of each picture is compared with what is coded, by which memory is taken."""
    for picture in sizes(content):
        for told, held in product(picture.told or [(0, 0)], picture.coded):
            if held[0] > told[0] + LARGER_CODED or held[1] > told[1] + LARGER_CODED:
                raise larger_than_told("HEIC", told, held)
    if is_cut(content):
        raise BadPicture(
            Reason.TRUNCATED, "the HEIC is truncated: the file ends before the picture does"
        )
    opened = _opened(content)
    return _header_of(opened[opened.primary_index])


def _pixels(image: pi_heif.HeifImage, header: Header) -> Pixels:
    """BGR, or BGRA where something is not opaque; of shape (height, width, channels), uint8."""
    try:
        pixels = np.asarray(image, np.uint8)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - decoders of damaged files raise anything
        raise damaged("HEIC", words(error)) from None
    if pixels.shape[:2] != (header.height, header.width):
        claims = f"{header.width} x {header.height} pixels"
        raise BadPicture(Reason.DAMAGED, f"the HEIC claims {claims} and holds others")
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], 3, axis=2)
    pixels = np.array(pixels, np.uint8, order="C")  # a copy: what libheif gives is read-only
    if image.premultiplied_alpha:
        _divide_by_alpha(pixels)
    return without_needless_alpha(pixels)


def _divide_by_alpha(pixels: Pixels) -> None:
    """Make alpha straight, in the picture itself; colours behind alpha 0 are unknown, and 0."""
    for row in pixels:
        alpha = np.maximum(row[:, 3:].astype(np.uint16), 1)
        row[:, :3] = np.minimum((row[:, :3] * np.uint16(255) + alpha // 2) // alpha, 255)


def _decode(content: bytes, header: Header, _: int) -> Pixels:
    opened = _opened(content)
    return _pixels(opened[opened.primary_index], header)


def _pages(content: bytes, _: Header) -> Pages | None:
    """The primary picture first, then the others as they stand; alpha and depth are none."""
    count = len(_opened(content))
    if count < 2:
        return None
    return Pages(count, partial(_each, content, min(count, PAGES_LIMIT)), own_sizes=True)


def _each(content: bytes, count: int) -> Iterator[StoredPage | BadPicture]:
    opened = _opened(content)
    first = opened.primary_index
    order = [first, *(number for number in range(len(opened)) if number != first)]
    for number in order[:count]:
        header = _header_of(opened[number])
        yield StoredPage(header, partial(_pixels, opened[number], header))


_of_hevc = branded(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_of_av1 = branded(b"avif", b"avis")  # which have a brand of any coding, `mif1`, besides

HEIC = Format(
    name="HEIC",
    recognises=lambda head: _of_hevc(head) and not _of_av1(head),
    costs=costs,
    read_header=_read_header,
    decode=_decode,
    pages=_pages,
)

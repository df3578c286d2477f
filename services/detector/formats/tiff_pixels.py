"""The pixels of a TIFF's first page, by the decoder that reads its variant."""

import io
import warnings
from dataclasses import replace

import cv2
import numpy as np
from PIL import Image

from services.detector.failures import BadPicture
from services.detector.formats.directories import Directory, layout_of, read_directory
from services.detector.formats.format import Header
from services.detector.formats.opencv import decoder
from services.detector.formats.tiff_variants import Variant, variant_of
from services.detector.formats.tolerant import truncated
from services.detector.models.model import Floats, Pixels
from shared.reasons import Reason

CUT_PERCENT = 1.0
"""Percent of the samples at either end that may be lost where floating-point numbers are not of 0
to 1: single ones that are far off would leave no contrast to all others."""

LEAST_CONTRAST = 1e-30
"""Where all numbers are the same."""

_HEIGHT, _STRIPS, _ORIENTATION, _ROWS, _LENGTHS = 257, 273, 274, 278, 279
_UPRIGHT = (0, 1)
_UNCOMPRESSED = 1
_BYTES = {3: 2, 4: 4, 13: 4, 16: 8}
"""Bytes of a number by its type, of those that strips are told in."""

_by_opencv = decoder()


def first_directory(content: bytes | bytearray) -> Directory:
    """The directory that the head of a file names."""
    layout = layout_of(content)
    return read_directory(content, layout, layout.number(content, layout.first, layout.offset))


def is_cut(content: bytes | bytearray, page: Directory) -> bool:
    """Whether a page's last strips lie beyond the end of the file."""
    count = page.count(_STRIPS)
    return count > 0 and whole_strips(content, page) < count


def whole_strips(content: bytes | bytearray, page: Directory) -> int:
    """How many strips, from the first on, lie within the file."""
    places, lengths = _numbers(content, page, _STRIPS), _numbers(content, page, _LENGTHS)
    count = min(len(places), len(lengths))
    beyond = np.flatnonzero(places[:count] + lengths[:count] > len(content))
    return int(beyond[0]) if len(beyond) else count


def _numbers(
    content: bytes | bytearray, page: Directory, tag: int
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """All numbers of a tag; float64, which holds sums of them."""
    kind, count, held = page.fields.get(tag, (0, 0, b""))
    size = _BYTES.get(kind, 0)
    if not size:
        return np.zeros(0)
    if size * count > len(held):
        at = int.from_bytes(held, page.layout.order)
        held = bytes(content[at : at + size * count])
    order = "<" if page.layout.order == "little" else ">"
    return np.frombuffer(held[: len(held) // size * size], f"{order}u{size}")[:count].astype(float)


def decode(content: bytes | bytearray, header: Header, reduced: int = 1) -> Pixels:
    """As `Format.decode`, of the page that the head of the file names.

    Raises:
        BadPicture: it cannot be decoded.
        MemoryError: there is not enough memory.
    """
    page = first_directory(content)
    variant = variant_of(content, page)
    if is_cut(content, page):
        return _cut(bytearray(content), header, page, variant)
    return _whole(content, header, variant, reduced)


def _whole(
    content: bytes | bytearray, header: Header, variant: Variant, reduced: int = 1
) -> Pixels:
    if variant.is_float:
        return _of_floats(content, header)
    if variant.needs_pillow:
        return _by_pillow(content, header)
    return _by_opencv(content, header, reduced)


def _cut(content: bytearray, header: Header, page: Directory, variant: Variant) -> Pixels:
    """The rows whose strips are whole, and black below: the page is told to end there.
    Where pixels are not packed, all that there are, and zeros behind them."""
    if variant.compression == _UNCOMPRESSED:
        missing = header.width * header.height * variant.samples * max(1, variant.bits // 8)
        return _whole(content + bytes(missing), header, variant)
    rows = min(whole_strips(content, page) * page.number(content, _ROWS), header.height)
    place = page.place(_HEIGHT)
    if (
        rows < 1
        or not variant.chunky
        or not place
        or page.number(content, _ORIENTATION) not in _UPRIGHT
    ):
        raise truncated("TIFF")
    at, size = place
    content[at : at + size] = rows.to_bytes(size, page.layout.order)
    told = _whole(content, replace(header, height=rows), variant)
    pixels = np.zeros((header.height, header.width, told.shape[2]), np.uint8)
    pixels[:rows] = told
    return pixels


def _of_floats(content: bytes | bytearray, header: Header) -> Pixels:
    """Floating-point numbers as 8 bits: 0 to 1 as black to white where all are within; else
    between the numbers that `CUT_PERCENT` lie below and above. What is no number is black."""
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        values = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError("not enough memory to decode the TIFF") from None
        values = None
    if values is None or values.shape[:2] != (header.height, header.width):
        raise BadPicture(Reason.DAMAGED, "the TIFF is damaged: its numbers cannot be read")
    numbers: Floats = values.astype(np.float32, copy=False)
    np.nan_to_num(numbers, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    if low < 0 or high > 1:
        low, high = (float(one) for one in np.percentile(numbers, (CUT_PERCENT, 100 - CUT_PERCENT)))
    else:
        low, high = 0.0, 1.0
    # In place, since four bytes a number are much; in halves, as a float32 may not hold the whole.
    np.clip(numbers, low, high, out=numbers)
    numbers /= 2
    numbers -= low / 2
    numbers *= 510 / max(high - low, LEAST_CONTRAST)
    numbers += 0.5
    pixels = numbers.astype(np.uint8)
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
    return np.ascontiguousarray(pixels[:, :, :3])


def _by_pillow(content: bytes | bytearray, header: Header) -> Pixels:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=["TIFF"]) as opened:
                pixels = np.asarray(opened.convert("RGB"), np.uint8)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - decoders of damaged files raise anything
        raise BadPicture(Reason.DAMAGED, "the TIFF is damaged") from None
    if pixels.shape[:2] != (header.height, header.width):
        raise BadPicture(Reason.DAMAGED, "the TIFF claims another size than it has")
    return np.ascontiguousarray(pixels[:, :, ::-1])

"""JPEG XL: a code stream, alone or in a file of boxes (ISO/IEC 18181-1 and 18181-2).

libjxl decodes, by imagecodecs. It is given the code stream alone: of the boxes, which may be packed
or rebuild a JPEG, none but those of pixels and EXIF is looked at. Profiles are not handed out by
the binding: colours are taken as sRGB, those proportional to light are made so.
"""

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.detector.failures import BadPicture
from services.detector.formats.boxes import Box, boxes
from services.detector.formats.costs import too_complex
from services.detector.formats.exif import BLOCK_BYTES, ORIENTATION, parsed
from services.detector.formats.format import Format, Header, begins
from services.detector.formats.jpeg_xl_header import (
    ALPHA,
    BLACK,
    COLOUR_FILTER,
    LINEAR,
    NAME,
    SIGNATURE,
    Told,
    told,
)
from services.detector.formats.tolerant import truncated
from services.detector.models.model import Pixels
from services.detector.visible import OPAQUE, without_needless_alpha
from shared.reasons import Reason

_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"

PARTS = 1_000
"""Boxes that a code stream may be split into. Encoders write one, or a few."""

_ROWS = 128
"""Rows that are made 8 bits at a time: in between they take more."""

# Loaded here and not at the first picture: in a closed cell no library can be.
_decode_by_libjxl = imagecodecs.jpegxl_decode
_unpack = imagecodecs.brotli_decode


def _streams(content: bytes) -> list[tuple[int, int]]:
    """Where the parts of the code stream lie in the file, in order."""
    if content.startswith(SIGNATURE):
        return [(0, len(content))]
    parts = []
    for box in boxes(NAME, content, 0, len(content)):
        if box.kind == b"jxlc":
            return [(box.start, box.end)]
        if box.kind == b"jxlp":  # its number comes first
            parts.append((min(box.start + 4, box.end), box.end))
    return parts


def _stream(content: bytes, longest: int | None = None) -> bytes:
    """The code stream, or its first bytes."""
    joined = bytearray()
    for start, end in _streams(content):
        left = end - start if longest is None else longest - len(joined)
        joined += memoryview(content)[start : min(end, start + left)]
    if not joined:
        raise truncated(NAME)
    return bytes(joined)


_HEAD = 32 << 10
"""Bytes of the code stream in which its header lies."""


def _costs(content: bytes) -> None:
    parts = len(_streams(content))
    if parts > PARTS:
        raise too_complex(NAME, "parts", parts, PARTS)
    told(_stream(content, _HEAD))


def _exif(content: bytes) -> Image.Exif:
    """The EXIF beside the code stream. Its orientation counts for nothing: the code stream says how
    the picture is turned, and the decoder turns it (18181-2, annex A)."""
    if not content.startswith(SIGNATURE):
        for box in boxes(NAME, content, 0, len(content)):
            body = _body(content, box, b"Exif")
            if body:
                exif = parsed(body[4 + int.from_bytes(body[:4], "big") :])
                exif.pop(ORIENTATION, None)
                return exif
    return Image.Exif()


def _body(content: bytes, box: Box, wanted: bytes) -> bytes:
    """What a box of this kind holds, also packed in a `brob`; nothing where it is of another, or
    larger than an EXIF block is."""
    if box.end - box.start > BLOCK_BYTES:
        return b""
    body = content[box.start : box.end]
    if box.kind == wanted:
        return body
    if box.kind != b"brob" or body[:4] != wanted:
        return b""
    try:
        return bytes(_unpack(body[4:], out=BLOCK_BYTES))  # which fails where there is more
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - damage costs the metadata only
        return b""


def _read_header(content: bytes) -> Header:
    """The size is the code stream's, turned as the decoder turns the picture.

    Raises:
        BadPicture: it is of a kind that is not read.
    """
    picture = told(_stream(content, _HEAD))
    if picture.animated:
        raise _not_read("an animation; convert it to WebP or PNG")
    if BLACK in picture.channels:
        raise _not_read("of four inks (CMYK); convert it to RGB")
    if COLOUR_FILTER in picture.channels:
        raise _not_read("raw data of a camera's sensor; convert it to JPEG")
    return Header(NAME, *picture.upright, exif=_exif(content), turned=picture.orientation)


def _not_read(what: str) -> BadPicture:
    return BadPicture(Reason.UNSUPPORTED, f"a {NAME} that is {what}")


def _decode(content: bytes, header: Header, _: int) -> Pixels:
    stream = _stream(content)
    picture = told(stream)
    return without_needless_alpha(_in_8_bits(_samples(stream, picture), picture))


def _samples(stream: bytes, picture: Told) -> NDArray[np.generic]:
    """The first frame, as deep as it is stored: height x width x samples.

    The decoder writes into an array that is made here: of a stream without a frame nothing else
    than zeros comes back, and one of another size than told is refused.

    Raises:
        BadPicture: it cannot be decoded.
        MemoryError: there is not enough memory for what it tells.
    """
    width, height = picture.upright
    colours = 1 if picture.grey else 3
    shape: tuple[int, ...] = (height, width, colours + (ALPHA in picture.channels))
    if picture.grey and not picture.channels:
        shape = shape[:2]
    elif picture.grey and ALPHA not in picture.channels:  # each in a plane of its own
        shape = (1 + len(picture.channels), height, width)
    found = np.zeros(shape, _kind_of(picture))
    try:
        _decode_by_libjxl(stream, index=0, numthreads=1, out=found)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a decoder of damaged files raises anything
        if "NEED_MORE_INPUT" in str(error):
            raise BadPicture(
                Reason.TRUNCATED, f"the {NAME} is truncated: the file ends before the picture does"
            ) from None
        raise BadPicture(
            Reason.DAMAGED,
            f"the {NAME} is damaged, of a variant that this build cannot read, or takes more "
            "memory than there is",
        ) from None
    if found.shape[1:] == (height, width):
        found = found[0]
    return found.reshape(height, width, -1)


def _kind_of(picture: Told) -> type[np.generic]:
    if picture.floating:
        return np.float16 if picture.bits == 16 else np.float32
    if picture.bits > 16:
        return np.float32
    return np.uint8 if picture.bits <= 8 else np.uint16


def _in_8_bits(samples: NDArray[np.generic], picture: Told) -> Pixels:
    """BGR, or BGRA with straight alpha, of grey or RGB of any depth."""
    height, width, count = samples.shape
    has_alpha = count in (2, 4)
    order = (0, 0, 0) if count < 3 else (2, 1, 0)
    pixels = np.empty((height, width, 3 + has_alpha), np.uint8)
    plain = samples.dtype == np.uint8 and picture.bits == 8 and picture.transfer != LINEAR
    plain = plain and not (has_alpha and picture.premultiplied)
    for at in range(0, height, _ROWS):
        rows = samples[at : at + _ROWS]
        values = rows if plain else _of_255(rows, picture, has_alpha)
        for channel, source in enumerate((*order, count - 1)[: 3 + has_alpha]):
            pixels[at : at + _ROWS, :, channel] = values[:, :, source]
    return pixels


def _of_255(rows: NDArray[np.generic], picture: Told, has_alpha: bool) -> NDArray[np.float32]:
    """Rows as numbers from 0 to 255, rounded."""
    largest = 1 if rows.dtype.kind == "f" else (1 << picture.bits) - 1
    values = np.nan_to_num(rows.astype(np.float32) / np.float32(largest)).clip(0, 1)
    colours = values[:, :, :-1] if has_alpha else values
    if has_alpha and picture.premultiplied:
        colours /= np.maximum(values[:, :, -1:], 1 / OPAQUE)
        np.minimum(colours, 1, out=colours)
    if picture.transfer == LINEAR:
        colours[...] = _as_srgb(colours)
    return np.asarray(np.rint(values * OPAQUE), np.float32)


def _as_srgb(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """What is proportional to light, as sRGB (IEC 61966-2-1)."""
    bright = 1.055 * np.power(light, 1 / 2.4) - 0.055
    return np.asarray(np.where(light <= 0.0031308, 12.92 * light, bright), np.float32)


JPEG_XL = Format(
    name=NAME,
    recognises=begins(_CONTAINER, SIGNATURE),
    costs=_costs,
    read_header=_read_header,
    decode=_decode,
)

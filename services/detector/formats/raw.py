"""Camera raw: the preview that the camera made, else developed by LibRaw.

A camera writes its own picture into a raw file, as a JPEG. It is searched where it is large enough
(`PREVIEW_SIDE`): that costs a tenth of developing, and shows what the photographer saw. Sizes and
boxes are those of what was searched.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import rawpy

from services.detector.failures import BadPicture
from services.detector.formats import jpeg, raw_files
from services.detector.formats.format import Format, Header, damaged
from services.detector.models.model import Pixels
from shared.reasons import Reason

NAME = "camera raw"

PREVIEW_SIDE = 1600
"""Longest side of a preview that is searched, in pixels, or half of the raw's where that is less.
Faces are searched at 640 by default, and at up to 2,400 with `--accurate`; cameras write previews
of their screens' size (160 to 640), of 1,600 and more, or of the full size."""

_ORIENTATIONS = {0: 1, 3: 3, 5: 8, 6: 6}
"""LibRaw's `flip` as an orientation of EXIF."""


@contextmanager
def _opened(content: bytes) -> Iterator[rawpy.RawPy]:
    """A raw file whose directories are read, and no pixel.

    Raises:
        BadPicture: LibRaw cannot read it.
        MemoryError: there is not enough memory.
    """
    with rawpy.RawPy() as raw:
        try:
            raw.open_buffer(io.BytesIO(content))
            yield raw
        except (rawpy.LibRawUnsufficientMemoryError, rawpy.LibRawMemPoolOverflowError):
            raise MemoryError(f"not enough memory to develop the {NAME}") from None
        except (rawpy.LibRawFileUnsupportedError, rawpy.LibRawNotImplementedError):
            raise BadPicture(
                Reason.UNSUPPORTED,
                "a camera raw of a kind that LibRaw does not read; convert it to JPEG or DNG",
            ) from None
        except rawpy.LibRawError:
            raise damaged(NAME, "LibRaw cannot read it") from None


def _preview(raw: rawpy.RawPy) -> tuple[bytes, Header] | None:
    """The preview and its header, where it is a JPEG that is large enough and costs no more than
    one does."""
    try:
        found = raw.extract_thumb()
    except rawpy.LibRawError:
        return None
    if found.format is not rawpy.ThumbFormat.JPEG:
        return None
    content = bytes(found.data)
    try:
        jpeg.JPEG.costs(content)
        header = jpeg.JPEG.read_header(content)
    except BadPicture:
        return None
    full = max(raw.sizes.width, raw.sizes.height)
    if max(header.width, header.height) < min(PREVIEW_SIDE, -(-full // 2)):
        return None
    return content, header


def _header_of_preview(raw: rawpy.RawPy, preview: Header) -> Header:
    """The raw's orientation holds for its preview too, unless that stands as it is seen."""
    orientation = _ORIENTATIONS.get(raw.sizes.flip, 1)
    lies = raw.sizes.width >= raw.sizes.height
    if orientation in (6, 8) and (preview.width >= preview.height) != lies:
        orientation = 1
    return replace(preview, format=NAME, orientation=orientation)


def _is_halved(raw: rawpy.RawPy) -> bool:
    """Whether every four pixels of the sensor make one: no colours are interpolated, and there is a
    quarter of the memory. Enough is left to search."""
    return bool(max(raw.sizes.width, raw.sizes.height) >= 2 * PREVIEW_SIDE)


def _read_header(content: bytes) -> Header:
    with _opened(content) as raw:
        if preview := _preview(raw):
            header = _header_of_preview(raw, preview[1])
            return header if len(header.exif) else replace(header, exif=raw_files.exif_of(content))
        by = 2 if _is_halved(raw) else 1
        width, height = (-(-side // by) for side in (raw.sizes.width, raw.sizes.height))
        orientation = _ORIENTATIONS.get(raw.sizes.flip, 1)
        held = max(raw.sizes.raw_width, raw.sizes.width) * max(
            raw.sizes.raw_height, raw.sizes.height
        )
    exif = raw_files.exif_of(content)
    return Header(NAME, width, height, orientation, exif=exif, held=held)


def _decode(content: bytes, header: Header, reduced: int) -> Pixels:
    with _opened(content) as raw:
        if preview := _preview(raw):
            stored, told = preview
            return jpeg.JPEG.decode(stored, told, reduced)
        developed = raw.postprocess(
            half_size=_is_halved(raw),
            use_camera_wb=True,
            user_flip=0,
            output_bps=8,
            demosaic_algorithm=rawpy.DemosaicAlgorithm.LINEAR,
        )
    if developed.shape != (header.height, header.width, 3):
        raise BadPicture(
            Reason.UNSUPPORTED,
            "a camera raw whose pixels are not square, or not in rows; convert it to JPEG",
        )
    return np.ascontiguousarray(developed[:, :, ::-1])


CAMERA_RAW = Format(
    name=NAME,
    recognises=raw_files.begins_as_raw,
    costs=raw_files.costs,
    read_header=_read_header,
    decode=_decode,
)

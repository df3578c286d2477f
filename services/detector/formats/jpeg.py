"""JPEG: whole ones by simplejpeg, all else by OpenCV."""

from collections.abc import Callable
from functools import partial

import numpy as np
import simplejpeg

from services.detector.formats import mpo
from services.detector.formats.exif import orientation_of, parsed
from services.detector.formats.format import Format, Header, Pages, begins
from services.detector.formats.jpeg_segments import costs, is_cut, told_by
from services.detector.formats.opencv import decoder
from services.detector.models.model import Pixels

_END_OF_IMAGE = b"\xff\xd9"

_by_opencv = decoder()
_of_cut = decoder(ends_early=lambda _: True)


def _read_header(content: bytes) -> Header:
    """By its segments: Pillow takes a step of Python for each byte that fills up, and for each
    block of Photoshop's."""
    told = told_by(content)
    exif = parsed(told.exif)
    return Header("JPEG", *told.size, orientation_of(exif), told.icc, exif)


def _decode(content: bytes, header: Header, reduced: int) -> Pixels:
    whole = _flawless(content, header) if reduced == 1 else None
    if whole is None and is_cut(content):
        # libjpeg fills what is missing with grey, but only up to a mark of the end.
        return _of_cut(content + _END_OF_IMAGE, header, reduced)
    return _by_opencv(content, header, reduced) if whole is None else whole


def _flawless(content: bytes, header: Header) -> Pixels | None:
    """A JPEG of the usual kind in which no error is found; of all others OpenCV shall judge.

    Both are libjpeg-turbo, but OpenCV always interpolates between samples of colour. An annotated
    JPEG stores colour at half the resolution again, so that costs time and some of the colour: with
    repeated samples, what is not drawn on stays closer to the original.
    """
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
        if colours not in ("YCbCr", "Gray") or (width, height) != (header.width, header.height):
            return None
        return np.asarray(simplejpeg.decode_jpeg(content, "BGR", fastupsample=True), np.uint8)
    except ValueError:
        return None


def _whole(content: bytes) -> tuple[Header, Callable[[], Pixels]]:
    costs(content)
    header = _read_header(content)
    return header, partial(_decode, content, header, 1)


def _pages(content: bytes, header: Header) -> Pages | None:
    return mpo.pages(content, header, _whole, partial(_decode, content, header, 1))


JPEG = Format(
    name="JPEG",
    recognises=begins(b"\xff\xd8\xff"),
    costs=costs,
    read_header=_read_header,
    decode=_decode,
    reductions=(1, 2, 4, 8),
    pages=_pages,
    is_cut=is_cut,
)

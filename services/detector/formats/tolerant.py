"""Pixels of files that lack their end, by Pillow, which fills up what is missing with black."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile

from services.detector.failures import BadPicture
from services.detector.formats.format import Header
from services.detector.formats.pillow import bgra_of
from services.detector.models.model import Pixels
from shared.reasons import Reason


@contextmanager
def tolerant(yes: bool = True) -> Iterator[None]:
    """Where Pillow takes a file that ends early for whole. It has one switch for all of a process,
    and also passes over checksums then: so it is on for nothing else. A slot has one thread."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = yes or before
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def decode_cut(content: bytes, header: Header, plugin: str) -> Pixels:
    """As `Format.decode`, of a file that lacks its end.

    Raises:
        BadPicture: none of its pixels can be read.
        MemoryError: there is not enough memory.
    """
    try:
        with warnings.catch_warnings(), tolerant():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=[plugin]) as opened:
                pixels = bgra_of(opened)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - decoders of damaged files raise anything
        raise truncated(header.format) from None
    if pixels.shape[:2] != (header.height, header.width):
        raise truncated(header.format)
    return pixels


def truncated(name: str) -> BadPicture:
    """A file of which nothing can be seen."""
    return BadPicture(
        Reason.TRUNCATED, f"the {name} is truncated: the file ends before there is a picture in it"
    )

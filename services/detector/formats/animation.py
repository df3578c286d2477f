"""Frames of animations, composed by Pillow as a viewer shows them (disposal, blending).

OpenCV (4.14) leaves out the picture before the first frame of a PNG, and composes some frames of
GIF and PNG otherwise.
"""

import io
import warnings
from collections.abc import Iterator
from functools import partial

from PIL import Image

from services.detector.failures import BadPicture
from services.detector.formats.format import Header, StoredPage
from services.detector.formats.pillow import bgra_of
from services.detector.formats.tolerant import tolerant
from services.detector.models.model import Pixels
from shared.reasons import Reason

DAMAGED_IN_A_ROW = 3
"""After this many damaged frames in a row the rest is given up: frames build on those before."""


def frames(
    content: bytes, header: Header, plugin: str, count: int, *, cut: bool = False
) -> Iterator[StoredPage | BadPicture]:
    """The first `count` frames of a file that Pillow's `plugin` reads.

    Only one frame is held at a time, and each is composed on the one before. Of a file that is
    `cut` the frame that it ends in is given as far as it goes.
    """
    try:
        opened = Image.open(io.BytesIO(content), formats=[plugin])
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - parsers of damaged files raise anything
        yield _damaged(header, 1)
        return
    with opened:
        failed = 0

        def pixels_of(number: int) -> Pixels:
            nonlocal failed
            try:
                pixels = _frame(opened, header, number, cut)
            except BadPicture:
                failed += 1
                raise
            failed = 0
            return pixels

        for number in range(1, count + 1):
            yield StoredPage(header, partial(pixels_of, number))
            if failed >= DAMAGED_IN_A_ROW:
                return


def _frame(opened: Image.Image, header: Header, number: int, cut: bool) -> Pixels:
    try:
        with warnings.catch_warnings(), tolerant(cut):
            warnings.simplefilter("ignore")
            opened.seek(number - 1)
            frame = bgra_of(opened)
    except MemoryError:
        raise
    except EOFError:
        raise BadPicture(
            Reason.TRUNCATED, f"the {header.format} ends before its frame {number}"
        ) from None
    except Exception:  # noqa: BLE001 - decoders of damaged files raise anything
        raise _damaged(header, number) from None
    if frame.shape[:2] != (header.height, header.width):
        raise BadPicture(
            Reason.DAMAGED, f"frame {number} of the {header.format} is larger than the first"
        )
    return frame


def _damaged(header: Header, number: int) -> BadPicture:
    return BadPicture(Reason.DAMAGED, f"frame {number} of the {header.format} is damaged")

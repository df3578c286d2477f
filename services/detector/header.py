"""What a file says it is, read and judged before any pixel is decoded."""

from services.detector.failures import BadPicture
from services.detector.formats import recognised
from services.detector.formats.format import Format, Header
from shared.reasons import Reason

__all__ = ["BadPicture", "Header", "header_of", "judged", "read_header"]


def read_header(content: bytes, max_pixels: int) -> Header:
    """Read a file's header, and refuse what is no picture, or claims or costs too much.

    Raises:
        BadPicture: with the reason.
    """
    return judged(header_of(format_of(content), content), max_pixels)


def header_of(found: Format, content: bytes) -> Header:
    """The header of a file of this format, whose costs are judged before it is read.

    Raises:
        BadPicture: it costs too much, or its header cannot be read.
    """
    found.costs(content)
    return found.read_header(content)


def format_of(content: bytes) -> Format:
    """The format of a file.

    Raises:
        BadPicture: it is of none that is read here.
    """
    if not content:
        raise BadPicture(Reason.EMPTY, "the file is empty")
    found = recognised(content)
    if found is None:
        raise BadPicture(Reason.UNKNOWN_FORMAT, "not a picture that this build knows")
    if not isinstance(found, Format):
        raise BadPicture(
            Reason.UNSUPPORTED,
            f"{found.name} files cannot be read by this build; convert it to JPEG or PNG",
        )
    return found


def judged(header: Header, max_pixels: int) -> Header:
    """The header, if its size may be decoded.

    Raises:
        BadPicture: it claims no pixels, or more than `max_pixels`.
    """
    claims = f"{header.width} x {header.height} pixels"
    if header.width < 1 or header.height < 1:
        raise BadPicture(Reason.DAMAGED, f"the {header.format} claims to be {claims}")
    if header.width * header.height > max_pixels:
        raise BadPicture(
            Reason.TOO_MANY_PIXELS,
            f"the {header.format} claims {claims}, "
            f"more than the {max_pixels:,} allowed (FACES_MAX_PIXELS)",
        )
    if header.held > max_pixels:
        raise BadPicture(
            Reason.TOO_MANY_PIXELS,
            f"the {header.format} holds {header.held:,} pixels, "
            f"more than the {max_pixels:,} allowed (FACES_MAX_PIXELS)",
        )
    return header

"""What the extension of a file's name says it is: a picture that is read, or what is not read.

Extensions only decide what of a folder or bucket is taken for an input, and what is refused before
a byte of it is read. What a file is, its bytes say, to the detector.
"""

import os
from dataclasses import dataclass

from shared.reasons import Failure, Reason


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: of one, as a sentence names it.
        plural: of several.
        extensions: in small letters, with the dot.
        read: whether a detector tries to read it. It may still say that it cannot.
    """

    name: str
    plural: str
    extensions: frozenset[str]
    read: bool = False


def _extensions(listed: str) -> frozenset[str]:
    return frozenset(f".{extension}" for extension in listed.split())


KINDS = (
    Kind(
        "picture",
        "pictures",
        _extensions(
            "jpg jpeg jpe jfif mpo png apng webp avif avifs heic heics heif heifs hif jxl tif "
            "tiff bmp dib gif jp2 j2k jpx pbm pgm ppm pnm psd psb"
        ),
        read=True,
    ),
    Kind(
        "camera raw",
        "camera raws",
        _extensions(
            "3fr arw cr2 cr3 crw dcr dng erf fff gpr iiq kdc mef mos mrw nef nrw orf pef raf raw "
            "rw2 rwl sr2 srf srw x3f"
        ),
        read=True,
    ),
    Kind(
        "picture of a format that is not read",
        "pictures of formats that are not read",
        _extensions("dds exr hdp hdr icns ico jls jxr pcx qoi sgi tga wdp xcf"),
    ),
    Kind("drawing", "drawings", _extensions("ai cdr emf eps svg svgz wmf")),
    Kind(
        "video",
        "videos",
        _extensions(
            "3g2 3gp asf avi flv m2ts m2v m4v mkv mod mov mp4 mpeg mpg mts mxf ogv tod ts vob webm "
            "wmv"
        ),
    ),
    Kind("document", "documents", _extensions("djv djvu pdf xps")),
)
"""No extension is of two kinds."""

_BY_EXTENSION = {os.fsencode(extension): kind for kind in KINDS for extension in kind.extensions}


def kind_of(name: bytes) -> Kind | None:
    """What a file is by its name; None for what nobody takes for a picture, and hidden files."""
    if name.startswith(b"."):
        return None
    return _BY_EXTENSION.get(_extension(name))


def why_not_read(name: bytes) -> Failure | None:
    """Why a file is refused by its name, before a byte of it is read."""
    kind = kind_of(name)
    if kind is None or kind.read:
        return None
    extension = _extension(name).decode()
    return Failure(Reason.UNSUPPORTED, f"not read: a {kind.name} ({extension})")


def _extension(name: bytes) -> bytes:
    """With its dot, in small letters; b"" where a name has none."""
    _, dot, extension = name.lower().rpartition(b".")
    return dot + extension if dot else b""

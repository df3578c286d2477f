"""Which variants of TIFF are read, and by what: OpenCV's libtiff, or Pillow's, which knows more.

Both give black, or fail without a word, for what they do not know; so it is judged here by the
page's directory (TIFF revision 6.0; compressions as registered in libtiff's tiff.h).
"""

from dataclasses import dataclass

from services.detector.failures import BadPicture
from services.detector.formats.directories import Directory
from shared.reasons import Reason

COMPRESSIONS = {
    1: "none",
    2: "CCITT",
    3: "CCITT fax 3",
    4: "CCITT fax 4",
    5: "LZW",
    7: "JPEG",
    8: "deflate",
    32773: "PackBits",
    32946: "deflate",
    34925: "LZMA",
    50000: "Zstandard",
}
"""Those that are read."""

_BY_PILLOW = frozenset({34925, 50000})
_OTHERS = {
    6: "old JPEG",
    32766: "NeXT",
    32809: "ThunderScan",
    34661: "JBIG",
    34676: "LogLuv",
    34677: "LogLuv",
    34712: "JPEG 2000",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34887: "LERC",
    34892: "lossy DNG JPEG",
    34933: "PNG",
    22610: "JPEG XR",
    34934: "JPEG XR",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}

_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _FORMAT = 258, 259, 262, 277, 284, 339
_UNSIGNED, _FLOAT, _UNTOLD = 1, 3, 4
_CMYK = 5
_CHUNKY = 1


@dataclass(frozen=True)
class Variant:
    """What a page's directory says of its samples. `bits` are those of each sample."""

    compression: int
    bits: int
    samples: int
    format: int
    chunky: bool
    cmyk: bool

    @property
    def is_float(self) -> bool:
        return self.format == _FLOAT

    @property
    def needs_pillow(self) -> bool:
        """What OpenCV 4.14 refuses and Pillow 12 reads."""
        return self.compression in _BY_PILLOW or self.samples > 4 or (self.cmyk and self.bits == 16)


def variant_of(content: bytes | bytearray, page: Directory) -> Variant:
    """The variant of a page, with the defaults of TIFF for what it does not say."""
    return Variant(
        compression=page.number(content, _COMPRESSION) or 1,
        bits=page.number(content, _BITS) or 1,
        samples=page.number(content, _SAMPLES) or 1,
        format=page.number(content, _FORMAT) or _UNSIGNED,
        chunky=(page.number(content, _PLANAR) or _CHUNKY) == _CHUNKY,
        cmyk=page.number(content, _PHOTOMETRIC) == _CMYK,
    )


def judge(variant: Variant) -> None:
    """Refuse what no decoder here reads.

    Raises:
        BadPicture: it is such a variant; the sentence names it.
    """
    if variant.compression not in COMPRESSIONS:
        name = _OTHERS.get(variant.compression, f"number {variant.compression}")
        raise _unsupported(f"compressed by {name}")
    if variant.is_float:
        if variant.bits not in (32, 64):
            raise _unsupported(f"of {variant.bits}-bit floating-point numbers")
        if not variant.chunky or variant.samples == 2 or variant.samples > 4:
            raise _unsupported("of floating-point numbers in planes of their own")
    elif variant.format not in (_UNSIGNED, _UNTOLD):
        raise _unsupported("of signed or complex numbers")
    elif variant.bits > 16:
        raise _unsupported(f"of {variant.bits}-bit whole numbers")


def _unsupported(what: str) -> BadPicture:
    return BadPicture(
        Reason.UNSUPPORTED,
        f"a TIFF {what}, which this build does not read; convert it to JPEG or PNG",
    )

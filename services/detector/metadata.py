"""Which metadata an annotated picture keeps: a list of what may pass, and nothing else.

So an embedded thumbnail, a maker's note, XMP (which may name people or hold another thumbnail) and
anything unknown can never pass. Tags are of EXIF 2.32 (CIPA DC-008).
"""

import warnings

from PIL import ExifTags, Image

from services.detector.formats.format import Header
from shared.recipe import Recipe

_BASE = ExifTags.Base

KEPT = frozenset(
    {_BASE.Make, _BASE.Model, _BASE.Software, _BASE.DateTime, _BASE.Artist, _BASE.Copyright}
)
DESCRIBING = frozenset({_BASE.ImageDescription})
"""Not kept where faces are hidden: a caption often says who is to be seen."""

KEPT_EXPOSURE = frozenset(
    {
        _BASE.DateTimeOriginal,
        _BASE.DateTimeDigitized,
        _BASE.OffsetTime,
        _BASE.OffsetTimeOriginal,
        _BASE.OffsetTimeDigitized,
        _BASE.SubsecTimeOriginal,
        _BASE.ExposureTime,
        _BASE.FNumber,
        _BASE.ExposureProgram,
        _BASE.ISOSpeedRatings,
        _BASE.ExposureBiasValue,
        _BASE.MeteringMode,
        _BASE.Flash,
        _BASE.FocalLength,
        _BASE.FocalLengthIn35mmFilm,
        _BASE.WhiteBalance,
        _BASE.ColorSpace,
        _BASE.LensMake,
        _BASE.LensModel,
    }
)

LONGEST_VALUE = 2000
"""Longer values are dropped: no camera writes one into these tags."""

LARGEST_PROFILE = 256 << 10
"""Larger colour profiles are dropped. Those of RGB that cameras and programs write have 0.5 to 60
kB, and measured ones of screens up to 200; a file may hold one of 16 MB (255 segments)."""


def kept_exif(header: Header, recipe: Recipe) -> bytes:
    """The EXIF block of the annotated picture (`Exif\\0\\0` and a TIFF header); b"" for none.

    Orientation is left out, because the picture is upright now.
    """
    kept = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for base in KEPT if recipe.mode.hides else KEPT | DESCRIBING:
                _copy(header.exif, kept, base)
            exposure = header.exif.get_ifd(ExifTags.IFD.Exif)
            for base in KEPT_EXPOSURE:
                _copy(exposure, kept.get_ifd(ExifTags.IFD.Exif), base)
            if recipe.keep_location:
                place = header.exif.get_ifd(ExifTags.IFD.GPSInfo)
                for tag in ExifTags.GPS:
                    _copy(place, kept.get_ifd(ExifTags.IFD.GPSInfo), tag)
            told = kept.tobytes()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - damaged metadata raises anything; the picture matters more
        return b""
    return told if _says_something(kept) else b""


def _says_something(kept: Image.Exif) -> bool:
    return bool(dict(kept)) or any(
        kept.get_ifd(block) for block in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
    )


def _copy(
    source: Image.Exif | dict[int, object], target: Image.Exif | dict[int, object], tag: int
) -> None:
    value = source.get(tag)
    if value is not None and not (
        isinstance(value, str | bytes | tuple) and len(value) > LONGEST_VALUE
    ):
        target[tag] = value


def kept_icc(header: Header) -> bytes:
    """The colour profile, where it is one of RGB and of a modest size; b"" for none.

    The pixels written are RGB: a profile of CMYK or grey ones would give wrong colours.
    """
    modest = len(header.icc) <= LARGEST_PROFILE
    return header.icc if modest and header.icc[16:20] == b"RGB " else b""

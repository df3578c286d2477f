"""When a picture was taken, and by which camera, out of its EXIF (tags of CIPA DC-008).

Anything damaged or nonsensical counts as absent: the picture matters more.
"""

import re
import warnings
from datetime import datetime

from PIL import ExifTags, Image
from pydantic import BaseModel, ConfigDict

from shared import fields

CAMERA_LIMIT = 200
"""Characters of a camera's name, as `shared.fields.Camera` allows."""

LONGEST_OFFSET_HOURS = 14
"""No clock on Earth is further from UTC."""

_MOMENT = re.compile(r"(\d{4}):(\d\d):(\d\d) (\d\d):(\d\d):(\d\d)")
_OFFSET = re.compile(r"[+-](\d\d):([0-5]\d)")


class Taken(BaseModel):
    """What EXIF tells of a picture, under the names of `shared.messages.ResultMessage`.

    Attributes:
        taken_at: by the camera's clock, `2019-06-01T12:00:00`, with the offset from UTC (`+02:00`)
            where the camera told one.
        camera: maker and model, as people say them.
        orientation: how the file stores its pixels, as EXIF counts it; 1 is upright.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    taken_at: fields.TakenAt | None = None
    camera: fields.Camera = ""
    orientation: fields.Orientation | None = None


def taken(exif: Image.Exif) -> Taken:
    """When and by which camera; nothing where the EXIF does not say."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            camera = _camera(exif.get(ExifTags.Base.Make), exif.get(ExifTags.Base.Model))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - parsers of damaged metadata raise anything
        camera = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exposure = exif.get_ifd(ExifTags.IFD.Exif)
            at = _moment(
                exposure.get(ExifTags.Base.DateTimeOriginal),
                exposure.get(ExifTags.Base.OffsetTimeOriginal),
            )
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - parsers of damaged metadata raise anything
        at = None
    return Taken(taken_at=at, camera=camera)


def _moment(told: object, offset: object) -> str | None:
    found = _MOMENT.fullmatch(_text(told))
    if found is None:
        return None
    try:
        year, month, day, hour, minute, second = map(int, found.groups())
        moment = datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    return moment.isoformat() + _valid_offset(_text(offset))


def _valid_offset(told: str) -> str:
    found = _OFFSET.fullmatch(told)
    return told if found and int(found[1]) <= LONGEST_OFFSET_HOURS else ""


def _camera(make: object, model: object) -> str:
    """`Canon` and `Canon EOS 5D`, `NIKON CORPORATION` and `NIKON D90`: the model says both."""
    maker, name = _text(make), _text(model)
    brand = maker.partition(" ")[0].casefold()
    whole = name if name.casefold().startswith(brand) and name else f"{maker} {name}"
    return whole.strip()[:CAMERA_LIMIT].rstrip()


def _text(value: object) -> str:
    """An ASCII value as one line of printable text; '' for anything else."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return ""
    before_nul = value.partition("\0")[0]
    printable = "".join(one if one.isprintable() else " " for one in before_nul[:1000])
    return " ".join(printable.split())

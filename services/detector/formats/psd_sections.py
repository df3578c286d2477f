"""What a PSD or PSB says before its pixels (Adobe Photoshop File Formats Specification, 2019).

Layers are passed over: what is searched is the composite, which Photoshop keeps behind them for
programs that cannot compose layers.
"""

from dataclasses import dataclass

from services.detector.failures import BadPicture
from services.detector.formats.costs import too_complex
from services.detector.formats.format import damaged
from shared.reasons import Reason

ROWS = 2_000_000
"""Rows of all channels together. Photoshop allows 30,000 a channel, and 300,000 in a PSB."""

RESOURCES = 10_000
"""Image resources of a file; Photoshop writes some thirty."""

CHANNELS = 56
"""As the specification allows."""

ICC_BYTES = EXIF_BYTES = 1 << 20

_HEAD = 26
_TAG = b"Lr16"
_ICC, _VERSION, _EXIF = 1039, 1057, 1058


@dataclass(frozen=True)
class Told:
    """What a file tells. `mode` and `bits` are of each channel; `palette` is of mode 2.

    `pixels` is where the composite begins, with the number of its packing; `has_composite` is
    False where the file was saved without one; `alpha` says that the channel behind the colours is
    the transparency of the composite.
    """

    wide: bool
    channels: int
    height: int
    width: int
    bits: int
    mode: int
    palette: bytes
    icc: bytes
    exif: bytes
    has_composite: bool
    alpha: bool
    pixels: int


def told_by(content: bytes) -> Told:
    """What a file tells.

    Raises:
        BadPicture: it is damaged, or has too many resources.
    """
    if len(content) < _HEAD:
        raise BadPicture(Reason.TRUNCATED, "the PSD is truncated: the file ends in its header")
    wide = content[5] == 2

    def number(at: int, size: int) -> int:
        return int.from_bytes(content[at : at + size], "big")

    channels = number(12, 2)
    if not 1 <= channels <= CHANNELS:
        raise damaged("PSD", f"it claims {channels} channels")
    rows = channels * number(14, 4)
    if rows > ROWS:
        raise too_complex("PSD", "rows", rows, ROWS)
    palette = content[_HEAD + 4 : _HEAD + 4 + min(number(_HEAD, 4), 768)]
    at = _HEAD + 4 + number(_HEAD, 4)
    found = _resources(content, at + 4, min(at + 4 + number(at, 4), len(content)))
    at += 4 + number(at, 4)
    size = 8 if wide else 4
    layers, behind = at + size, at + size + number(at, size)
    version = found.get(_VERSION, b"")
    return Told(
        wide=wide,
        channels=channels,
        height=number(14, 4),
        width=number(18, 4),
        bits=number(22, 2),
        mode=number(24, 2),
        palette=palette,
        icc=found.get(_ICC, b"")[: ICC_BYTES + 1],
        exif=found.get(_EXIF, b"")[: EXIF_BYTES + 1],
        has_composite=len(version) < 5 or version[4] != 0,
        alpha=_has_transparency(content, layers, behind, wide),
        pixels=min(behind, len(content)),
    )


def _has_transparency(content: bytes, layers: int, behind: int, wide: bool) -> bool:
    """Whether the composite's first channel behind the colours is its transparency: the number of
    layers is negative then. Of 16 and 32 bits the layers are in a tagged block, and transparency
    has one of its own. (A layer that holds such a tag by chance only costs an extra channel.)"""
    size = 8 if wide else 4
    if int.from_bytes(content[layers : layers + size], "big"):
        return _is_negative(content, layers + size) and layers + size < behind
    blocks = [
        at + len(_TAG) + size
        for kind in (b"Lr16", b"Lr32")
        if (at := content.find(kind, layers, behind)) >= 0
    ]
    if any(content.find(kind, layers, behind) >= 0 for kind in (b"Mt16", b"Mt32", b"Mtrn")):
        return True
    return any(_is_negative(content, at) for at in blocks)


def _is_negative(content: bytes, at: int) -> bool:
    return int.from_bytes(content[at : at + 2], "big") >= 1 << 15


def _resources(content: bytes, at: int, end: int) -> dict[int, bytes]:
    """The resources that are read, by their numbers; the first of each."""
    found: dict[int, bytes] = {}
    count = 0
    while at + 12 <= end and content.startswith(b"8BIM", at):
        count += 1
        if count > RESOURCES:
            raise too_complex("PSD", "resources", count, RESOURCES)
        number = int.from_bytes(content[at + 4 : at + 6], "big")
        at += 6 + (content[at + 6] + 2) // 2 * 2
        size = int.from_bytes(content[at : at + 4], "big")
        at += 4
        if number in (_ICC, _VERSION, _EXIF):
            found.setdefault(number, content[at : min(at + size, at + ICC_BYTES, end)])
        at += size + size % 2
    return found

"""What the code stream of a JPEG XL says before its first frame (ISO/IEC 18181-1, annex D).

Bits are read from the lowest of each byte on. A header has some thirty bytes; names of channels
make it longer, and are bounded as the channels are.
"""

from collections.abc import Callable
from dataclasses import dataclass

from services.detector.failures import BadPicture
from services.detector.formats.costs import too_complex
from services.detector.formats.tolerant import truncated
from shared.reasons import Reason

NAME = "JPEG XL"

SIGNATURE = b"\xff\n"

CHANNELS = 4
"""Channels beside the colours: alpha, depth, a selection. The decoder holds each in full size."""

LONGEST = 16 << 10
"""Bytes of a header that are looked at: four channels with names of 1,071 bytes fit in."""

ALPHA, SPOT, BLACK, COLOUR_FILTER = 0, 2, 4, 5
"""Kinds of channels (D.3.6) that matter here."""

LINEAR = 8
"""The transfer function of values that are proportional to light (D.3.5)."""

_GREY, _XYB = 1, 2
_CUSTOM = 2

Choice = tuple[int, int]
"""How many bits a number has, and what is added to it."""

_SIDE: tuple[Choice, ...] = ((9, 1), (13, 1), (18, 1), (30, 1))
_ENUM: tuple[Choice, ...] = ((0, 0), (0, 1), (4, 2), (6, 18))
_XY: tuple[Choice, ...] = ((19, 0), (19, 524_288), (20, 1_048_576), (21, 2_097_152))
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


@dataclass(frozen=True)
class Told:
    """The picture that a code stream holds.

    `width` and `height` are in pixels as coded, before `orientation` (1 to 8, as EXIF counts)
    turns it. `bits` is how many a sample has. `channels` are the kinds of those beside the
    colours; `premultiplied` says that colours were multiplied by alpha.
    """

    width: int
    height: int
    orientation: int = 1
    animated: bool = False
    floating: bool = False
    bits: int = 8
    channels: tuple[int, ...] = ()
    premultiplied: bool = False
    grey: bool = False
    transfer: int = 0

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height as the decoder gives them, turned upright."""
        return (self.width, self.height) if self.orientation < 5 else (self.height, self.width)


class _Bits:
    def __init__(self, content: bytes) -> None:
        self._value = int.from_bytes(content[:LONGEST], "little")
        self._left = 8 * min(len(content), LONGEST)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise truncated(NAME)
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken

    def flag(self) -> bool:
        return self.take(1) == 1

    def choose(self, choices: tuple[Choice, ...]) -> int:
        """A number of which two bits say how it is written (`U32`, B.2.2)."""
        count, offset = choices[self.take(2)]
        return self.take(count) + offset


def told(stream: bytes) -> Told:
    """Read the header of a code stream, which begins with its `SIGNATURE`.

    Raises:
        BadPicture: it ends too early, or is none that is read here.
    """
    if not stream.startswith(SIGNATURE):
        raise BadPicture(Reason.DAMAGED, f"the {NAME} is damaged: it holds no picture")
    bits = _Bits(stream[2 : 2 + LONGEST])
    width, height = _size(bits, _SIDE, lambda: 8 * (bits.take(5) + 1))
    if bits.flag():  # all else is as usual: 8 bits, sRGB, no alpha
        return Told(width, height)
    orientation, animated = _extras(bits) if bits.flag() else (1, False)
    floating, depth = _depth(bits)
    bits.flag()  # whether 16 bits are enough to decode it
    count = bits.choose(((0, 0), (0, 1), (4, 2), (12, 1)))
    if count > CHANNELS:
        raise too_complex(NAME, "channels beside the colours", count, CHANNELS)
    channels = [_channel(bits) for _ in range(count)]
    bits.flag()  # whether it is coded as XYB, which the decoder undoes
    grey, transfer = _colours(bits)
    return Told(
        width,
        height,
        orientation,
        animated,
        floating,
        depth,
        tuple(kind for kind, _ in channels),
        next((multiplied for kind, multiplied in channels if kind == ALPHA), False),
        grey,
        transfer,
    )


def _size(bits: _Bits, choices: tuple[Choice, ...], small: Callable[[], int]) -> tuple[int, int]:
    """Width and height (`SizeHeader`, D.2; `PreviewHeader`, D.3.3)."""
    is_small = bits.flag()

    def side() -> int:
        return small() if is_small else bits.choose(choices)

    height = side()
    ratio = bits.take(3)
    if not ratio:
        return side(), height
    across, along = _RATIOS[ratio - 1]
    return height * across // along, height


def _extras(bits: _Bits) -> tuple[int, bool]:
    """The orientation, and whether the file is an animation."""
    orientation = bits.take(3) + 1
    if bits.flag():  # a size that it is to be shown in
        _size(bits, _SIDE, lambda: 8 * (bits.take(5) + 1))
    if bits.flag():
        eighths: tuple[Choice, ...] = ((0, 16), (0, 32), (5, 1), (9, 33))
        preview: tuple[Choice, ...] = ((6, 1), (8, 65), (10, 321), (12, 1345))
        _size(bits, preview, lambda: 8 * bits.choose(eighths))
    animated = bits.flag()
    if animated:
        bits.choose(((0, 100), (0, 1000), (10, 1), (30, 1)))
        bits.choose(((0, 1), (0, 1001), (8, 1), (10, 1)))
        bits.choose(((0, 0), (3, 0), (16, 0), (32, 0)))
        bits.flag()
    return orientation, animated


def _depth(bits: _Bits) -> tuple[bool, int]:
    """Whether samples are floating-point numbers, and their bits (`BitDepth`, D.3.4)."""
    if bits.flag():
        depth = bits.choose(((0, 32), (0, 16), (0, 24), (6, 1)))
        bits.take(4)
        return True, depth
    return False, bits.choose(((0, 8), (0, 10), (0, 12), (6, 1)))


def _channel(bits: _Bits) -> tuple[int, bool]:
    """A channel's kind, and whether colours are multiplied by it (`ExtraChannelInfo`, D.3.6)."""
    if bits.flag():
        return ALPHA, False
    kind = bits.choose(_ENUM)
    _depth(bits)
    bits.choose(((0, 0), (0, 3), (0, 4), (3, 1)))
    bits.take(8 * bits.choose(((0, 0), (4, 0), (5, 16), (10, 48))))
    if kind == SPOT:
        bits.take(4 * 16)
    if kind == COLOUR_FILTER:
        bits.choose(((0, 1), (2, 0), (4, 3), (8, 19)))
    return kind, kind == ALPHA and bits.flag()


def _colours(bits: _Bits) -> tuple[bool, int]:
    """Whether it is grey, and its transfer function, 0 where another than those of D.3.5."""
    if bits.flag():
        return False, 0
    by_profile = bits.flag()
    space = bits.choose(_ENUM)
    if by_profile or space == _XYB:
        return space == _GREY, 0
    if bits.choose(_ENUM) == _CUSTOM:  # the white point
        _points(bits, 1)
    if space != _GREY and bits.choose(_ENUM) == _CUSTOM:  # the primaries
        _points(bits, 3)
    has_gamma = bits.flag()
    return space == _GREY, 0 if has_gamma else bits.choose(_ENUM)


def _points(bits: _Bits, count: int) -> None:
    for _ in range(2 * count):
        bits.choose(_XY)

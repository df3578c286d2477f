"""The size that the pixels of AV1 have (AV1 bitstream specification, 5.3 to 5.5)."""

from collections.abc import Iterator

from services.detector.formats.costs import too_complex

UNITS = 1_000
"""Units of one frame that are looked at; it has a few, and some a tile."""

_SEQUENCE_HEADER = 1


class Bits:
    """Reads numbers bit by bit; beyond the end there are zeros."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def read(self, count: int) -> int:
        number = 0
        for _ in range(count):
            byte = self._content[self._at >> 3] if self._at >> 3 < len(self._content) else 0
            number = number << 1 | byte >> (7 - (self._at & 7)) & 1
            self._at += 1
        return number

    def read_long(self) -> int:
        """A number of variable length (4.10.3; in HEVC `ue(v)`, ITU-T H.265, 9.2)."""
        zeros = 0
        while zeros < 32 and not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros if zeros < 32 else 0)


def sizes(units: bytes) -> Iterator[tuple[int, int]]:
    """Largest width and height of each sequence header among the units of a frame.

    Raises:
        BadPicture: there are more than `UNITS`.
    """
    at = count = 0
    while at < len(units):
        count += 1
        if count > UNITS:
            raise too_complex("AVIF", "units in a frame", count, UNITS)
        head = units[at]
        at += 2 if head & 4 else 1
        size = len(units) - at
        if head & 2:
            size, at = _leb128(units, at)
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            yield _largest(units[at : at + min(size, 1024)])
        at += size


def _leb128(units: bytes, at: int) -> tuple[int, int]:
    """A number of up to 8 bytes (4.10.5), and where it ends."""
    number = 0
    for place in range(8):
        byte = units[at] if at < len(units) else 0
        at += 1
        number |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            break
    return number, at


def _largest(header: bytes) -> tuple[int, int]:
    """`max_frame_width_minus_1` and the height's, each and 1, of a sequence header (5.5.1)."""
    bits = Bits(header)
    bits.read(4)  # profile, still picture
    if bits.read(1):  # reduced still picture header
        bits.read(5)
    else:
        _pass_over_operating_points(bits)
    across, along = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(across) + 1, bits.read(along) + 1


def _pass_over_operating_points(bits: Bits) -> None:
    timed = bits.read(1)
    modelled = delay = 0
    if timed:
        bits.read(64)
        if bits.read(1):
            bits.read_long()
        modelled = bits.read(1)
        if modelled:
            delay = bits.read(5) + 1
            bits.read(42)
    delayed = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if modelled and bits.read(1):
            bits.read(2 * delay + 1)
        if delayed and bits.read(1):
            bits.read(4)

"""How files of pictures are built: taken apart into pieces, and put together again.

A piece is what a format repeats: a JPEG's segment (ITU T.81, B.1), a PNG's chunk, a chunk of RIFF,
a box (ISO/IEC 14496-12, 4.2), a block of GIF89a. What is damaged in one piece leaves a file that is
read on to the next.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Order = Literal["big", "little"]

CONTAINERS = {b"meta": 12, b"iprp": 8, b"ipco": 8, b"jp2h": 8, b"moov": 8, b"trak": 8}
CONTAINERS |= {b"mdia": 8, b"minf": 8, b"stbl": 8}
"""Boxes that hold boxes, and where the first of these begins."""


@dataclass(frozen=True)
class Layout:
    """A format's pieces.

    Attributes:
        split: a file as its pieces, the first of which is its head; joined they are the file.
        join: pieces as a file, whose sums and sizes of the whole are right.
        order: of the bytes of its numbers.
        length_at, length_size: where a piece says its length; a size of 0: it does not.
        length_of: what a piece of so many bytes says.
    """

    split: Callable[[bytes], list[bytes]]
    join: Callable[[Sequence[bytes]], bytes]
    order: Order = "big"
    length_at: int = 0
    length_size: int = 0
    length_of: Callable[[int], int] = lambda size: size

    def with_length(self, piece: bytes, length: int | None = None) -> bytes:
        """The piece, that says its own length, or another."""
        if len(piece) < self.length_at + self.length_size:
            return piece
        said = self.length_of(len(piece)) if length is None else length
        said = max(0, said) & ((1 << (8 * self.length_size)) - 1)
        end = self.length_at + self.length_size
        return piece[: self.length_at] + said.to_bytes(self.length_size, self.order) + piece[end:]


def _jpeg(content: bytes) -> Iterator[bytes]:
    start = at = 2
    yield content[:2]
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            break
        marker = content[at + 1]
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == 0xDA:  # its coded data follows, up to a marker that is none of its own
            while end + 1 < len(content) and not (
                content[end] == 0xFF and content[end + 1] not in (0, *range(0xD0, 0xD8))
            ):
                end += 1
        yield content[start:end]
        start = at = end
    yield content[start:]


def _png(content: bytes) -> Iterator[bytes]:
    yield content[:8]
    at = 8
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        yield content[at:end]
        at = end
    yield content[at:]


def _with_sums(pieces: Sequence[bytes]) -> bytes:
    return pieces[0] + b"".join(
        piece[:-4] + zlib.crc32(piece[4:-4]).to_bytes(4, "big") if len(piece) >= 12 else piece
        for piece in pieces[1:]
    )


def _riff(content: bytes) -> Iterator[bytes]:
    yield content[:12]
    at = 12
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        yield content[at:end]
        at = end
    yield content[at:]


def _with_riff_size(pieces: Sequence[bytes]) -> bytes:
    file = b"".join(pieces)
    return file[:4] + ((len(file) - 8) & 0xFFFFFFFF).to_bytes(4, "little") + file[8:]


def _boxes(content: bytes) -> Iterator[bytes]:
    at = 0
    while at + 8 <= len(content):
        end = at + (int.from_bytes(content[at : at + 4], "big") or len(content))
        yield content[at : max(at + 8, end)]
        at = max(at + 8, end)
    yield content[at:]


def inner_boxes(box: bytes) -> tuple[bytes, list[bytes]] | None:
    """The head of a box and the boxes in it; None where it is no container."""
    head = CONTAINERS.get(box[4:8])
    return None if head is None else (box[:head], list(_boxes(box[head:])))


def _gif(content: bytes) -> Iterator[bytes]:
    at = 13 + (3 << ((content[10] & 7) + 1) if content[10] & 0x80 else 0)
    yield content[:at]
    while at < len(content) and content[at] in (0x21, 0x2C):
        start = at
        if content[at] == 0x21:
            at += 2
        else:
            flags = content[at + 9] if at + 9 < len(content) else 0
            at += 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
        while at < len(content) and content[at]:
            at += 1 + content[at]
        at += 1
        yield content[start:at]
    yield content[at:]


def _plain(pieces: Sequence[bytes]) -> bytes:
    return b"".join(pieces)


JPEG = Layout(lambda file: list(_jpeg(file)), _plain, "big", 2, 2, lambda size: size - 2)
PNG = Layout(lambda file: list(_png(file)), _with_sums, "big", 0, 4, lambda size: size - 12)
RIFF = Layout(
    lambda file: list(_riff(file)), _with_riff_size, "little", 4, 4, lambda size: size - 8
)
BOXES = Layout(lambda file: list(_boxes(file)), _plain, "big", 0, 4)
GIF = Layout(lambda file: list(_gif(file)), _plain, "little")


def layout_of(content: bytes) -> Layout | None:
    """The layout of a whole file; None where it has no pieces of one kind."""
    if content[:2] == b"\xff\xd8":
        return JPEG
    if content[:4] == b"\x89PNG":
        return PNG
    if content[:4] == b"RIFF":
        return RIFF
    if content[:4] == b"GIF8" and len(content) > 13:
        return GIF
    if content[4:8] in (b"ftyp", b"jP  "):
        return BOXES
    return None

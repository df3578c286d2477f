"""Files of pictures after changes that know the format: seeded, so that each can be made again.

Beside flipped bits: pieces left out, repeated by the thousand, exchanged, taken from another file;
lengths that lie; numbers at the ends of their range; files that end early or late.
"""

import random
from functools import cache

from tests.fuzz.directories import EXTREMES, damaged_directory
from tests.fuzz.layouts import BOXES, Layout, inner_boxes, layout_of
from tests.support.fuzzed import KINDS, whole
from tests.support.fuzzed import mutated as with_random_bytes

MOST_BYTES = 4 << 20
"""No input is larger: what is tried are readers, and not how fast memory is filled."""


@cache
def pieces_of(kind: str) -> tuple[bytes, ...]:
    """The pieces of an undamaged file; all of it is one where it has none."""
    layout = layout_of(whole(kind))
    return tuple(layout.split(whole(kind))) if layout else (whole(kind),)


def mutated(kind: str, number: int) -> bytes:
    """A file of this kind after some changes."""
    chance = random.Random(f"{kind}.{number}")
    if chance.random() < 0.25:
        content = with_random_bytes(kind, number)
    elif layout := layout_of(whole(kind)):
        pieces = list(pieces_of(kind))
        for _ in range(chance.randint(1, 3)):
            pieces = _changed(pieces, layout, chance)
        content = layout.join(pieces)
    else:
        content = _without_pieces(kind, chance)
    return _cut(content, chance)[:MOST_BYTES]


def _changed(pieces: list[bytes], layout: Layout, chance: random.Random) -> list[bytes]:
    """One change of one piece, or in it."""
    if len(pieces) < 2:
        return pieces
    at = chance.randrange(1, len(pieces))
    piece = pieces[at]
    inner = inner_boxes(piece) if layout is BOXES else None
    if inner and inner[1] and chance.random() < 0.8:
        head, boxes = inner
        changed = head + b"".join(_changed([b"", *boxes], layout, chance))
        return [*pieces[:at], _maybe_right(changed, layout, chance), *pieces[at + 1 :]]
    match chance.randrange(8):
        case 0:
            del pieces[at]
        case 1:
            most = 100_000 if chance.random() < 0.1 else 50
            times = min(chance.randint(2, most), 1 + (MOST_BYTES - 1) // max(1, len(piece)))
            pieces[at:at] = [piece] * (times - 1)
        case 2:
            other = chance.randrange(1, len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        case 3:
            donors = [one for one in KINDS if layout_of(whole(one)) is layout]
            pieces.insert(at, chance.choice(pieces_of(chance.choice(donors))))
        case 4:
            lie = chance.choice((*EXTREMES, len(piece) - 1, len(piece) + 1))
            pieces[at] = layout.with_length(piece, lie)
        case 5:
            size = chance.choice((1, 100, 60_000))
            more = chance.choice((bytes(size), b"\xff" * size, chance.randbytes(size)))
            where = chance.randint(min(8, len(piece)), len(piece))
            pieces[at] = _maybe_right(piece[:where] + more + piece[where:], layout, chance)
        case 6:
            kept = piece[: chance.randint(0, len(piece))]
            pieces[at] = _maybe_right(kept, layout, chance)
        case _:
            pieces[at] = with_number(piece, chance)
    return pieces


def _maybe_right(piece: bytes, layout: Layout, chance: random.Random) -> bytes:
    """A changed piece, that says its own length more often than not."""
    right = layout.length_size and chance.random() < 0.8
    return layout.with_length(piece) if right else piece


def with_number(content: bytes, chance: random.Random, reach: int = 64) -> bytes:
    """One of the first numbers exchanged for one at the end of its range."""
    if len(content) < 2:
        return content
    size = chance.choice((1, 2, 4, 8))
    at = chance.randrange(min(reach, len(content)))
    number = chance.choice(EXTREMES) & ((1 << (8 * size)) - 1)
    written = number.to_bytes(size, "big")
    if chance.random() < 0.5:
        written = written[::-1]
    return content[:at] + written + content[at + size :]


def _without_pieces(kind: str, chance: random.Random) -> bytes:
    """TIFF by its directory; of the others, numbers in the head."""
    content = bytearray(whole(kind))
    for _ in range(chance.randint(1, 4)):
        if content.startswith((b"II", b"MM")):
            content = damaged_directory(content, chance)
        elif content.startswith(b"P") and chance.random() < 0.8:
            content = _other_head(content, chance)
        else:
            content = bytearray(with_number(bytes(content), chance))
    return bytes(content)


def _other_head(content: bytearray, chance: random.Random) -> bytearray:
    """A PPM whose head says other numbers, or says much beside them."""
    words = bytes(content[:32]).split(None, 4)
    rest = bytes(content).partition(words[min(3, len(words) - 1)])[2]
    words = words[:4]
    at = chance.randrange(len(words))
    words[at] = chance.choice(
        (
            str(chance.choice(EXTREMES)).encode(),
            b"-1",
            b"0" * chance.choice((10, 100_000)) + words[at],
            b"#" + b"a" * chance.choice((10, 100_000)) + b"\n" + words[at],
        )
    )
    return bytearray(b" ".join(words) + rest)


def _cut(content: bytes, chance: random.Random) -> bytes:
    """Some files end early; others go on behind their end, also with another file."""
    match chance.randrange(20):
        case 0:
            return content[: chance.randint(0, len(content))]
        case 1:
            return content + chance.randbytes(chance.choice((1, 1000, 100_000)))
        case 2:
            other = whole(chance.choice(KINDS))
            return (
                content[: chance.randint(0, len(content))] + other[chance.randrange(len(other)) :]
            )
    return content

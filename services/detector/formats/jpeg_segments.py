"""The segments of a JPEG: its size, EXIF and profile, and how many scans it has (ITU-T T.81, B).

Walked by the rules of libjpeg, which decodes: what lies between two segments is passed over, and so
are bytes 0xFF that fill up. Nothing here is a step for each such byte.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from services.detector.failures import BadPicture
from services.detector.formats.costs import too_complex
from services.detector.formats.format import damaged
from shared.reasons import Reason

SCANS = 200
"""Scans of one picture. libjpeg goes through all of its pixels for each: 25 ms at 120 megapixels,
though a scan takes 250 bytes. Encoders write about ten; one for every bit of every band is 64."""

SEGMENTS = 10_000
"""Segments of one picture. A profile of 16 MB takes 255, and metadata that fill a whole file of
`FACES_MAX_FILE_BYTES` take 4,096 by default."""

EXIF_BYTES = 1 << 20
"""EXIF that is read, of several segments together. A camera's fits one segment of 64 KiB."""

_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_END_OF_IMAGE = bytes((0xFF, _END))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_UNREAD = {
    **dict.fromkeys((0xC3, 0xCB), "lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "hierarchical JPEG"),
}
_JPEG_LS = 0xF7
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a segment: TEM, restarts, start of image."""

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_BETWEEN_SCANS = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""Restarts belong to the coded pixels."""

_EXIF = b"Exif\0\0"
_ICC = b"ICC_PROFILE\0"


@dataclass(frozen=True)
class Segment:
    """One marker, and where its body lies in the file."""

    marker: int
    start: int
    end: int


@dataclass(frozen=True)
class Told:
    """What the segments before the pixels tell. `size` is width and height, in pixels."""

    size: tuple[int, int]
    exif: bytes
    icc: bytes


def head(content: bytes) -> Iterator[Segment]:
    """The segments up to the first scan's, in order.

    Raises:
        BadPicture: there are more than `SEGMENTS`.
    """
    at, count = 2, 0
    while found := _MARKER.search(content, at):
        marker, at = content[found.end() - 1], found.end()
        count += 1
        if count > SEGMENTS:
            raise too_complex("JPEG", "segments", count, SEGMENTS)
        if marker in _ALONE:
            continue
        length = int.from_bytes(content[at : at + 2], "big")
        if marker == _END or length < 2 or at + length > len(content):
            return
        yield Segment(marker, at + 2, at + length)
        if marker == _SCAN:
            return
        at += length


def costs(content: bytes) -> None:
    """Refuse a JPEG of too many segments or scans.

    Raises:
        BadPicture: it has them.
    """
    layers, progressive = 0, False
    for segment in head(content):
        if segment.marker in _FRAMES and not layers:
            layers = content[segment.start + 5] if segment.end - segment.start > 5 else 0
            progressive = segment.marker in _PROGRESSIVE
        elif segment.marker == _SCAN:
            together = content[segment.start] if segment.end > segment.start else 0
            if progressive or together != layers:  # else its only scan has all of its layers
                _judge_scans(content, segment.end)


def _judge_scans(content: bytes, at: int) -> None:
    """Count the scans of pixels that begin at `at` behind the head of the first."""
    if _scan_markers(content, at) < SCANS:
        return  # not even with those of thumbnails, and of what follows behind the end
    scans = others = 1
    while found := _BETWEEN_SCANS.search(content, at):
        marker, at = content[found.end() - 1], found.end()
        if marker == _END:
            return
        if marker == _SCAN:
            scans += 1
        else:
            others += 1
        if scans > SCANS:
            raise too_complex("JPEG", "scans", scans, SCANS)
        if others > SEGMENTS:
            raise too_complex("JPEG", "segments", others, SEGMENTS)
        if marker not in _ALONE:
            at += int.from_bytes(content[at : at + 2], "big")


def is_cut(content: bytes) -> bool:
    """Whether a JPEG lacks the marker of its end. Nothing that follows behind that matters, such as
    the video of a moving photo, or further pictures."""
    if content.endswith(_END_OF_IMAGE):
        return False
    at = next((segment.end for segment in head(content) if segment.marker == _SCAN), None)
    if at is None:
        return True
    for _ in range(SEGMENTS):
        found = _BETWEEN_SCANS.search(content, at)
        if found is None:
            return True
        marker, at = content[found.end() - 1], found.end()
        if marker == _END:
            return False
        if marker not in _ALONE:
            at += int.from_bytes(content[at : at + 2], "big")
    return False


def _scan_markers(content: bytes, at: int) -> int:
    """How often the two bytes of a scan's marker stand side by side, from `at` on.

    As pairs from each even and from each odd place: 0.13 ms a megabyte, an eighth of what
    `bytes.count` takes.
    """
    marker = _SCAN << 8 | 0xFF
    found = 0
    for start in (at, at + 1):
        count = (len(content) - start) // 2
        if count > 0:
            pairs = np.frombuffer(content, "<u2", count, start)
            found += int(np.count_nonzero(pairs == marker))
    return found


def told_by(content: bytes) -> Told:
    """Size, EXIF (with its name before it) and colour profile.

    Raises:
        BadPicture: there is no frame, or one that no decoder here reads.
    """
    size: tuple[int, int] | None = None
    exif = b""
    profile: list[bytes] = []
    for segment in head(content):
        body = content[segment.start : segment.end]
        if segment.marker == 0xE1 and body.startswith(_EXIF):
            if len(exif) + len(body) <= EXIF_BYTES:
                exif += body if not exif else body[len(_EXIF) :]
        elif segment.marker == 0xE2 and body.startswith(_ICC):
            profile.append(body[len(_ICC) :])
        elif segment.marker in _FRAMES and size is None:
            size = _size(body)
            if kind := _UNREAD.get(segment.marker):
                raise _unread(kind)
        elif segment.marker == _JPEG_LS and size is None:
            raise _unread("JPEG-LS")
    if size is None:
        raise damaged("JPEG", "it ends before its picture")
    return Told(size, exif, _joined(profile))


def _unread(kind: str) -> BadPicture:
    return BadPicture(
        Reason.UNSUPPORTED,
        f"a {kind}, which this build does not read; convert it to a usual JPEG or to PNG",
    )


def _size(frame: bytes) -> tuple[int, int]:
    if len(frame) < 6:
        raise damaged("JPEG", "its frame is cut")
    bits, layers = frame[0], frame[5]
    if bits != 8 or layers not in (1, 3, 4):
        raise BadPicture(
            Reason.UNSUPPORTED,
            f"a JPEG of {layers} layers of {bits} bits; this build reads 1, 3 or 4 of 8 bits",
        )
    return int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")


def _joined(parts: list[bytes]) -> bytes:
    """A profile of numbered parts (ICC.1:2010, B.4); b"" where one is missing."""
    if not parts or not all(parts):
        return b""
    ordered = sorted(parts)
    if len(ordered[0]) < 2 or ordered[0][1] != len(ordered):
        return b""
    return b"".join(part[2:] for part in ordered)

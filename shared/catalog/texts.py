"""Text that every database takes, and landmarks as bytes."""

import struct
from collections.abc import Sequence


def safe(text: str) -> str:
    """Text without what a database may refuse: NUL, and halves of surrogate pairs; both escaped."""
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def pack(landmarks: Sequence[float]) -> bytes | None:
    """Landmarks as little-endian float32, 4 bytes a coordinate; None for none."""
    return struct.pack(f"<{len(landmarks)}f", *landmarks) if landmarks else None


def unpack(packed: bytes | None) -> tuple[float, ...]:
    """Landmarks from `pack`, to a hundredth of a pixel."""
    if not packed:
        return ()
    return tuple(round(value, 2) for value in struct.unpack(f"<{len(packed) // 4}f", packed))

"""File names of results: the picture's own name, made safe in any file system."""

import unicodedata
from pathlib import PurePosixPath

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})

PART_LIMIT = 240
"""Bytes of one part of a path; file systems allow 255, a suffix may follow."""


def result_path(relative: bytes, image_id: str) -> PurePosixPath:
    """Where the result of the picture at `relative` goes below the results' folder.

    A JPEG's name is kept; others get `.jpg` appended (`a.png` gives `a.png.jpg`). A name that
    had to be changed to be safe gets the image's id as a suffix, so that two never become one.
    """
    parts = [part for part in relative.split(b"/") if part not in (b"", b".")] or [b"picture"]
    safe = [_safe(part) for part in parts]
    path = PurePosixPath(*safe)
    if path.suffix.lower() not in JPEG_SUFFIXES:
        path = path.with_name(path.name + ".jpg")
    changed = any(part.encode() != was for part, was in zip(safe, parts, strict=True))
    return with_id(path, image_id) if changed else path


def with_id(path: PurePosixPath, image_id: str) -> PurePosixPath:
    """The same name with the start of the image's id before its extension."""
    return path.with_name(f"{path.stem}-{image_id[:8]}{path.suffix}")


def _safe(part: bytes) -> str:
    """One part of a path without what climbs, hides, breaks a line or is no text."""
    if part == b"..":
        return "_"
    if part.isascii() and part.decode().isprintable() and len(part) <= PART_LIMIT:
        return part.decode()  # nearly every name, and the rest takes its time
    text = part.decode("utf-8", "replace").replace("\N{REPLACEMENT CHARACTER}", "_")
    text = "".join(
        "_" if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else letter
        for letter in text
    )
    if len(text.encode()) <= PART_LIMIT:
        return text
    stem, dot, extension = text.rpartition(".")
    keep = f".{extension}" if dot and len(extension.encode()) <= 10 else ""
    room = PART_LIMIT - len(keep.encode())
    return (stem if keep else text).encode()[:room].decode("utf-8", "ignore") + keep

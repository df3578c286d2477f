"""File names of results: the picture's own name, made safe in any file system."""

import unicodedata
from collections.abc import Iterator
from pathlib import PurePosixPath

from shared.picture_keys import JPEG, PNG, TIFF, WEBP

SUFFIXES = {
    JPEG: frozenset({".jpg", ".jpeg", ".jpe", ".jfif"}),
    PNG: frozenset({".png", ".apng"}),
    WEBP: frozenset({".webp"}),
    TIFF: frozenset({".tif", ".tiff"}),
}
"""What names of pictures of each format end with, by the suffix of their objects."""

NAME_LIMIT = 255
"""Bytes of a name in most file systems; where it is 255 units of UTF-16, this is never more."""

PART_LIMIT = NAME_LIMIT - len(".webp") - len("-01234567") - len(".json")
"""Bytes of one part of a path: the suffix of a result, the start of an id and the suffix of a
sidecar may follow."""

SHORT_PART = 100
"""Bytes of one part where the system refused the name: encrypted folders allow 143 (eCryptfs)."""

_NOT_ON_WINDOWS = str.maketrans(dict.fromkeys('"*:<>?\\|', "_"))
_DEVICES = frozenset(
    ("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³"))
)
# Both from Microsoft, "Naming Files, Paths, and Namespaces"; exFAT and NTFS elsewhere follow.


def result_path(relative: bytes, image_id: str, suffix: str = JPEG) -> PurePosixPath:
    """Where the result of the picture at `relative` goes below the results' folder.

    A name that fits the result's format (`suffix`) is kept; others get the suffix appended (as a
    JPEG, `a.png` gives `a.png.jpg`; as a PNG, `a.gif` gives `a.gif.png`). A name that
    had to be changed to be safe gets the image's id as a suffix, so that two never become one.
    """
    parts = [part for part in relative.split(b"/") if part not in (b"", b".")] or [b"picture"]
    safe = [_safe(part) for part in parts]
    path = PurePosixPath(*safe)
    if path.suffix.lower() not in SUFFIXES[suffix]:
        path = path.with_name(f"{path.name}.{suffix}")
    changed = any(part.encode() != was for part, was in zip(safe, parts, strict=True))
    return with_id(path, image_id) if changed else path


def fits(name: str, key: str) -> bool:
    """Whether a result of this name says of which format its object is."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES[key.rpartition(".")[2]]


def with_id(path: PurePosixPath, image_id: str) -> PurePosixPath:
    """The same name with the start of the image's id before its extension."""
    return path.with_name(f"{path.stem}-{image_id[:8]}{path.suffix}")


def other_names(path: PurePosixPath, image_id: str) -> Iterator[PurePosixPath]:
    """What a result may be called where its own name is taken, or is none that the disk has: ever
    less of the name, and in the end only the id, which every disk has."""
    yield with_id(path, image_id)
    portable = PurePosixPath(*map(_portable, path.parts))
    yield with_id(portable, image_id)
    yield with_id(PurePosixPath(portable.name), image_id)
    yield PurePosixPath(image_id + path.suffix)


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
    return _shortened(text, PART_LIMIT)


def _portable(part: str) -> str:
    """One part of a path without what Windows and its file systems refuse in a name."""
    text = _shortened(part.translate(_NOT_ON_WINDOWS), SHORT_PART)
    if text[-1] in ". ":
        text = text[:-1] + "_"
    return f"_{text}" if text.partition(".")[0].rstrip().lower() in _DEVICES else text


def _shortened(text: str, limit: int) -> str:
    """At most so many bytes of a name; its extension stays."""
    if len(text.encode()) <= limit:
        return text
    stem, dot, extension = text.rpartition(".")
    keep = f".{extension}" if dot and len(extension.encode()) <= 10 else ""
    room = limit - len(keep.encode())
    return (stem if keep else text).encode()[:room].decode("utf-8", "ignore") + keep

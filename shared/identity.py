"""Identities of pictures: where one is and in which version, or its name and content."""

import hashlib
from datetime import datetime

from shared import fields


def display_name(path: bytes) -> str:
    """A path as text that every database takes: bytes that are not UTF-8 become `\\xff`.

    Of a text that gets too long by this, the end is kept.
    """
    return path.decode("utf-8", "backslashreplace")[-fields.NAME_LIMIT :]


def reference_id(uri: str, version: str) -> str:
    """Identity of a picture by reference: hash of where it is and which version of it."""
    return hashlib.sha256(f"{uri}\0{version}".encode()).hexdigest()[:32]


def inline_id(name: str, content: bytes) -> str:
    """Identity of a picture sent along: hash of its name and its content."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass") + b"\0")
    digest.update(content)
    return digest.hexdigest()[:32]


def file_version(size: int, mtime_ns: int) -> str:
    """Version of a file: another size or time of change is another picture."""
    return f"{size}-{mtime_ns}"


def object_version(etag: str | None, size: int, modified: datetime) -> str:
    """Version of an object of a bucket: its etag, or where a store has none, size and time."""
    return (etag or f"{size}-{modified.timestamp():.0f}")[:200]

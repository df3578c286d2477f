"""What an opener of references is, and what it may open."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.detector.failures import Refused
from shared.reasons import Reason


@dataclass(frozen=True)
class Rules:
    """What may be opened: folders as real paths, buckets, and the most bytes of one picture."""

    roots: tuple[Path, ...]
    max_bytes: int
    buckets: tuple[str, ...] = ()


Opener = Callable[[str, str, Rules], bytes]
"""`(uri, version, rules)` to the bytes of this version of a picture ('' for any version).

Raises:
    Refused: it is gone, changed, too large, or not allowed.
    TryAgain: the storage failed.
    Unreachable: the storage is not there at all.
"""

CHANGED = "changed_at_source: the file is not the one that was submitted; submit it again"


def changed() -> Refused:
    """It is not the version that was submitted."""
    return Refused(Reason.CHANGED, CHANGED)


def too_large(size: int, rules: Rules) -> Refused:
    """It has more bytes than are allowed."""
    return Refused(
        Reason.TOO_LARGE, f"{size:,} bytes; FACES_MAX_FILE_BYTES allows {rules.max_bytes:,}"
    )

"""What an opener of references is, and what it may open."""

from collections.abc import Callable
from dataclasses import dataclass

from services.detector.failures import Refused
from shared.reasons import Reason
from shared.references import AllowLists, Scheme


@dataclass(frozen=True)
class Rules:
    """What may be opened, of each kind of reference, and the most bytes of one picture."""

    allowed: AllowLists
    max_bytes: int

    def allow_list(self, scheme: Scheme) -> tuple[str, ...]:
        """What may be opened of one kind, as URIs."""
        return self.allowed.get(scheme.kind, ())


Opener = Callable[[str, str, Rules], bytes]
"""`(uri, version, rules)` to the bytes of this version of a picture ('' for any version).

Raises:
    Refused: it is gone, changed, too large, or not allowed.
    TryAgain: the storage failed.
"""

CHANGED = "changed_at_source: the file is not the one that was submitted; submit it again"


def changed() -> Refused:
    """It is not the version that was submitted."""
    return Refused(Reason.CHANGED, CHANGED)


def too_large(size: int, limit: int) -> Refused:
    """It has more bytes than are allowed."""
    return Refused(Reason.TOO_LARGE, f"{size:,} bytes; FACES_MAX_FILE_BYTES allows {limit:,}")

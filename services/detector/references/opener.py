"""What an opener of references is, what it may open, and what it gives."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.references import AllowLists, Scheme


@dataclass(frozen=True)
class Rules:
    """What may be opened, of each kind of reference, and the most bytes of one picture."""

    allowed: AllowLists
    max_bytes: int

    def allow_list(self, scheme: Scheme) -> tuple[str, ...]:
        """What may be opened of one kind, as URIs."""
        return self.allowed.get(scheme.kind, ())


@dataclass(frozen=True)
class Opened:
    """A picture's file, open for reading. Whoever has it closes it.

    Attributes:
        descriptor: the file descriptor.
        below: the allowed folder, as a URI, in which the file really is.
    """

    descriptor: int
    below: str


Opener = Callable[[str, str, Rules], Opened]
"""`(uri, version, rules)` to the open file of this version of a picture ('' for any version).

Blocks as long as the file system does.

Raises:
    Refused: it is gone, changed, too large, or not allowed.
    TryAgain: the storage failed.
"""

"""Why a picture is not searched: a code for programs, and a sentence for people."""

from shared.reasons import Failure, Reason

CHANGED = "changed_at_source: the file is not the one that was submitted; submit it again"


class PictureFailed(Exception):
    """A picture that fails; its text is the sentence.

    Attributes:
        reason: the code, for rows and metrics.
        below: the allowed folder, as a URI, of a file that cannot be opened: it may be the folder's
            fault. '' where it is the picture's own for certain.
    """

    def __init__(self, reason: Reason, sentence: str, below: str = "") -> None:
        super().__init__(sentence)
        self.reason = reason
        self.below = below

    @property
    def failure(self) -> Failure:
        """Code and sentence."""
        return Failure(self.reason, str(self))


class BadPicture(PictureFailed):
    """This file can never be searched."""


class Refused(PictureFailed):
    """What a reference names cannot be had, now or later."""


class TryAgain(PictureFailed):
    """The storage failed in a way that may pass."""


def changed() -> Refused:
    """It is not the version that was submitted."""
    return Refused(Reason.CHANGED, CHANGED)


def too_large(size: int, limit: int) -> Refused:
    """It has more bytes than are allowed."""
    return Refused(Reason.TOO_LARGE, f"{size:,} bytes; FACES_MAX_FILE_BYTES allows {limit:,}")

"""Why a picture is not searched: a code for programs, and a sentence for people."""

from shared.reasons import Failure, Reason


class PictureFailed(Exception):
    """A picture that fails; its text is the sentence.

    Attributes:
        reason: the code, for rows and metrics.
        below: the allowed folder, as a URI, of a file that cannot be read: it may be the folder's
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

"""Why something failed: a code for programs, with a sentence for people.

A row, a dead letter, `--reason` and the metrics carry the code. Beside it stands a sentence of the
case at hand, which names the file, the setting or the figure. A new reason is one entry here.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Reason(StrEnum):
    """The codes. Their meaning never changes; one that is no longer used stays listed."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Self:
        reason = str.__new__(cls, code)
        reason._value_ = code
        reason.meaning = meaning
        return reason

    # The picture itself: doing it again gives the same.
    EMPTY = "empty", "the file has no bytes"
    UNKNOWN_FORMAT = "unknown_format", "not a picture of a format known here"
    UNSUPPORTED = "unsupported", "a format, or a variant of one, that this build cannot read"
    DAMAGED = "damaged", "the file is damaged"
    TRUNCATED = "truncated", "the file ends before its picture does"
    TOO_MANY_PIXELS = "too_many_pixels", "more pixels than FACES_MAX_PIXELS allows"
    TOO_LARGE = (
        "too_large",
        "more bytes than FACES_MAX_FILE_BYTES or the inline limit allow, or its results have",
    )
    TOO_COMPLEX = "too_complex", "more scans, markers, tiles or pieces than a picture has"
    TOO_LONG_TO_DRAW = "too_long_to_draw", "a side is longer than its format can be"
    # Where it is kept.
    GONE = "gone", "there is no such file or object any more"
    CHANGED = "changed", "it is not the version that was submitted"
    NOT_ALLOWED = "not_allowed", "outside of what FACES_SOURCE_ROOTS or FACES_SOURCE_BUCKETS allow"
    NOT_A_FILE = "not_a_file", "a folder, a device or a pipe, or no name of a file"
    UNREADABLE = "unreadable", "the file or object is there, and cannot be read"
    SOURCE_REFUSED = "source_refused", "a source that cannot be expanded"
    # What it cost.
    TIMEOUT = "timeout", "took longer than FACES_TASK_TIMEOUT_SECONDS"
    MEMORY = "memory", "needed more than FACES_SLOT_MEMORY_BYTES"
    CRASH = "crash", "ended its detector process"
    NONSENSE = "nonsense", "its detector process answered what is no answer"
    POISON = "poison", "delivered more than FACES_MAX_DELIVERIES times"
    # The suite.
    NO_MODEL = "no_model", "the model, or the version of it, that its recipe names is not here"
    INVALID_MESSAGE = "invalid_message", "the entry is not a message of this suite"
    STORE_REFUSED = "store_refused", "the object store does not take its pictures"
    DATABASE_REFUSED = "database_refused", "the database does not take its row"
    NOT_ASKED_FOR = "not_asked_for", "a result that no row of the catalog asked for"
    ERROR = "error", "an error that nobody foresaw; the log has its trace"
    # Nothing is wrong with the picture: naming it again does it again.
    # (The sentences of these three are those of 0.1.0, whose programs know them by their text.)
    CANCELLED = "cancelled", "cancelled"
    BYTES_LOST = (
        "bytes_lost",
        "its bytes were lost with Redis before it was searched; submit it again",
    )
    PICTURE_LOST = (
        "picture_lost",
        "the highlighted picture was lost with Redis before it was stored; submit it again",
    )

    @classmethod
    def of(cls, code: str | None, sentence: str = "") -> "Reason":
        """The reason of a code; of a row without one (before there were codes), by its sentence.

        A code of a newer program that is not known here is an `ERROR`.
        """
        if code is None:
            return _BY_OLD_SENTENCE.get(sentence, cls.ERROR)
        return _BY_CODE.get(code, cls.ERROR)


@dataclass(frozen=True)
class Failure:
    """Why one thing failed: the code, and the sentence of this case."""

    reason: Reason
    sentence: str


REVIVED = frozenset({Reason.CANCELLED, Reason.BYTES_LOST, Reason.PICTURE_LOST})
"""A submission that names a picture which failed so queues it again."""

_BY_CODE = {reason.value: reason for reason in Reason}

_BY_OLD_SENTENCE = {
    reason.meaning: reason for reason in (Reason.CANCELLED, Reason.BYTES_LOST, Reason.PICTURE_LOST)
}
"""What rows of schema version 2 say where they are to be revived."""

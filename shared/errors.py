"""Errors whose text is meant for people, and the one that is nobody's fault.

Every `FacesError` says what went wrong, with which file or setting, and what to do.
"""

from enum import IntEnum


class Exit(IntEnum):
    """What the `faces` command answers to the shell."""

    DONE = 0
    USAGE = 2
    SOME_FAILED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130


class FacesError(Exception):
    """A failure that a person can act on; its text is one clear line."""

    exit_status: Exit = Exit.USAGE


class SettingsError(FacesError):
    """A setting has a value that cannot be used."""


class ModelMissing(FacesError):
    """The weights of a model are not on this machine, or are not what they should be."""


class Unreachable(FacesError):
    """A server or a disk does not answer: nobody's message is to blame, so wait and go on.

    A handler that raises this keeps its messages: they are neither acknowledged nor counted as
    failed, and the runner tries them again until the server is back or the drain ends.
    """

    exit_status = Exit.UNREACHABLE


class LoginRefused(Unreachable):
    """A server lets nobody in with what a setting says; services wait, since it may be put right.

    A password is being rotated, a database is being restored. A command ends as with any setting
    that cannot be used.
    """

    exit_status = Exit.USAGE


class InvalidMessage(FacesError):
    """A stream entry is not a message that this version can read; it never will be."""


class LeftToOthers(FacesError):
    """A stream entry is for a program of another version: leave it to the consumers that are."""

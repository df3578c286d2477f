"""Entries of a stream, typed as a client that decodes nothing gets them."""

from typing import cast

Entry = tuple[bytes, dict[bytes, bytes]]
"""The id of an entry, and its fields."""


def entries_in(answer: object) -> list[Entry]:
    """The entries in redis-py's answer to XRANGE.

    redis-py declares one type for every client, also for those that decode text, so that ids and
    fields may be `str` or None; those of the tests' clients never are.
    """
    return cast("list[Entry]", answer or [])


def only_entry_in(answer: object) -> Entry:
    """The one entry in an answer to XRANGE that must have exactly one."""
    [entry] = entries_in(answer)
    return entry

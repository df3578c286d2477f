"""Entries of a stream, typed as a client that decodes nothing gets them."""

from typing import cast

from redis.asyncio import Redis

from shared.streams.keys import Keys

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


async def nothing_left(client: Redis, keys: Keys, name: str) -> bool:
    """Whether nothing is in a stream, and nothing was put off from it."""
    return not (await client.xlen(keys.stream(name)) or await client.zcard(keys.due(name)))

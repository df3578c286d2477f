"""Entries as they are delivered, and how much they weigh."""

from dataclasses import dataclass
from typing import NamedTuple

from shared.messages import Message
from shared.streams.high_water import ENTRY_OVERHEAD_BYTES

MESSAGE_FIELD = b"m"
WEIGHT_FIELD = b"n"

ATTEMPTS_FIELD = b"a"
"""How many attempts failed before an entry was put off and came back; absent where none did."""

WEIGHT_DIGITS = 15
"""A weight of more digits was not written by us: Lua counts exactly up to 2**53."""


LAST_ID = "18446744073709551615-18446744073709551615"
"""The last id that there is. Redis refuses to look for what comes after it."""


def behind(entry_id: bytes) -> str | None:
    """Where what comes after an entry begins, for XRANGE and XPENDING; None of the last id."""
    told = entry_id.decode()
    return None if told == LAST_ID else f"({told}"


def number(text: object) -> int:
    """A counter of Redis; 0 where there is none, or anything else."""
    if isinstance(text, bytes) and text.isdigit() and len(text) <= WEIGHT_DIGITS:
        return int(text)
    return 0


@dataclass(frozen=True)
class Membership:
    """A consumer's place in its group: where it reads, and as whom."""

    stream: str
    group: str
    consumer: str
    history: str


class Delivery(NamedTuple):
    """One entry delivered to this consumer. With `deliveries` it names the delivery itself.

    A tuple, which is made in half the time of a frozen dataclass: each message needs one. They
    sort in the order of their stream, by `position`: the milliseconds of the id, and which of
    those within one.
    """

    position: tuple[int, int]
    id: bytes
    deliveries: int
    failed_attempts: int
    encoded: bytes
    weight: int

    @property
    def added_ms(self) -> int:
        """When the entry was added, in milliseconds since 1970, by the server's clock."""
        return self.position[0]


def weight_of(message: Message, encoded: bytes) -> int:
    """Bytes that an entry counts for: its JSON, its payloads, and Redis' own overhead."""
    return ENTRY_OVERHEAD_BYTES + len(encoded) + sum(payload.size for payload in message.payloads)


def delivery(
    entry_id: bytes,
    fields: dict[bytes, bytes],
    deliveries: int = 1,
    failed_attempts: int | None = None,
) -> Delivery:
    """Read an entry's fields; one that was added by hand may lack any of them."""
    encoded = fields.get(MESSAGE_FIELD, b"")
    if failed_attempts is None:  # it was read, not claimed
        told = fields.get(ATTEMPTS_FIELD)
        failed_attempts = int(told) if told and told.isdigit() and len(told) < 4 else 0
    ms, _, which = entry_id.partition(b"-")
    return Delivery(
        position=(int(ms), int(which)),
        id=entry_id,
        deliveries=deliveries,
        failed_attempts=failed_attempts,
        encoded=encoded,
        weight=number(fields.get(WEIGHT_FIELD)),
    )

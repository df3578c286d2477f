"""What is done to a suite: one entry a kind."""

from tests.hostile.kinds import on_keys, on_messages, on_payloads, on_results
from tests.hostile.reach import Kind

KINDS: dict[str, Kind] = {
    **on_messages.KINDS,
    **on_results.KINDS,
    **on_payloads.KINDS,
    **on_keys.KINDS,
}

"""Entries that are no messages, or that name what they may not."""

from functools import partial
from typing import Any

from shared.errors import FacesError, LeftToOthers
from shared.messages import new_token
from shared.streams.keys import DEAD, IMAGES, RESULTS, SOURCES
from shared.streams.topology import STREAMS
from tests.fuzz.json_changes import NONSENSE, changed_json
from tests.fuzz.targets.messages import IMAGE, RESULT, SOURCE
from tests.hostile.reach import RECIPE, Kind, Reach
from tests.support.stages import source_at

_GOOD = {SOURCES: SOURCE.encode(), IMAGES: IMAGE.encode(), RESULTS: RESULT.encode()}

OUTSIDE = (
    *("file:///etc/passwd", "file:///proc/self/environ", "file:///dev/zero", "file:///"),
    *("file://host/a.jpg", "http://127.0.0.1/a.jpg", "s3://elsewhere/a.jpg", "s3://pictures/../a"),
    *("file:///tmp/../etc/shadow", "file:///a%00b.jpg", "file:///proc/1/mem", "data:,a"),
)


async def nonsense(reach: Reach) -> None:
    """No JSON, deep nesting, numbers without end."""
    stream = reach.chance.choice(list(_GOOD))
    await reach.add(stream, reach.chance.choice(NONSENSE)(_GOOD[stream]))


async def changed_fields(reach: Reach) -> None:
    """A message with hostile values in some of its fields."""
    stream = reach.chance.choice(list(_GOOD))
    decode = STREAMS[stream].decode
    assert decode is not None
    while True:
        # A name of its own in each: the stranger may add work, which then has rows.
        good = _GOOD[stream].replace(IMAGE.id.encode(), new_token().encode())
        encoded = changed_json(good, reach.chance)
        try:
            decode(encoded)
        except LeftToOthers:  # for newer programs: it stays, as it should
            continue
        except FacesError:
            break
        break
    await reach.add(stream, encoded)


async def other_fields(reach: Reach) -> None:
    """Entries without a message, of many fields, of fields in which others count."""
    stream = reach.keys.stream(reach.chance.choice(list(_GOOD)))
    # Any: as redis-py has it, for which the types of keys and values are those of all others.
    made: dict[Any, Any] = reach.chance.choice(
        (
            {"x": b"y"},
            {f"f{n}": b"v" for n in range(10_000)},
            {"m": b"{}", "n": b"9" * 5000, "a": b"9" * 5000},
            {"m": b"{}", "n": b"-1", "a": b"\xff"},
            {"": b""},
        )
    )
    await reach.client.xadd(stream, made)
    reach.did()


async def references_outside(reach: Reach) -> None:
    """An image by a reference that no service may read."""
    await reach.add_message(reach.image(source_uri=reach.chance.choice(OUTSIDE)))


async def sources_outside(reach: Reach) -> None:
    """A source by such a reference."""
    await reach.add_message(source_at(reach.chance.choice(OUTSIDE), recipe=RECIPE))


async def dead_letters(reach: Reach) -> None:
    """Entries among the dead letters that no service wrote."""
    garbage = reach.chance.choice((b"\xff", b"[" * 1000, b"x" * 10_000))
    await reach.client.xadd(reach.keys.stream(DEAD), {"m": garbage, "reason": garbage})
    reach.did()


async def last_ids(reach: Reach, stream: str) -> None:
    """An entry under the last id there is: none can be added behind it."""
    last = f"{2**64 - 1}-{2**64 - 1}"
    await reach.add(stream, b"{}", entry=last)


KINDS = {
    "nonsense": Kind(nonsense),
    "changed fields": Kind(changed_fields),
    "other fields": Kind(other_fields, most=60),
    "references outside": Kind(references_outside),
    "sources outside": Kind(sources_outside, most=60),
    "dead letters": Kind(dead_letters, most=60),
    "last id of sources": Kind(partial(last_ids, stream=SOURCES), most=1),
    "last id of images": Kind(partial(last_ids, stream=IMAGES), most=1),
    "last id of results": Kind(partial(last_ids, stream=RESULTS), most=1),
    "last id of dead": Kind(partial(last_ids, stream=DEAD), most=1),
}

"""Payloads that are not what messages say, and pictures that cost much."""

from collections.abc import Callable
from functools import partial

from shared.messages import Face, Payload, ResultMessage, Status, new_token
from tests.hostile import bombs
from tests.hostile.reach import CROPS, RECIPE, Kind, Reach

HUGE = 200 << 20
NAMED_BY = 12

FACE = Face(x=1, y=1, w=10, h=10, score=0.99)


def _result_of(reach: Reach, payload: Payload) -> ResultMessage:
    image = reach.image(source_uri="file:///pictures/a.jpg")
    return ResultMessage(
        **image.subject,
        status=Status.FACES,
        faces=(FACE,),
        annotated=image.keys.annotated,
        payload=payload,
    )


async def missing(reach: Reach) -> None:
    """A payload that is not there, of any size, also of one that no message of ours can claim."""
    claimed = reach.chance.choice((0, 1, 1000, 1 << 31, 1 << 80))
    payload = Payload(id=new_token(), size=77)
    message = reach.image(payload) if reach.chance.random() < 0.5 else _result_of(reach, payload)
    encoded = message.encode().replace(b'"size":77', b'"size":%d' % claimed)
    await reach.add(message.stream, encoded, image=message.id)


async def other_types(reach: Reach) -> None:
    """A list, a hash or a set where bytes should be."""
    payload = Payload(id=new_token(), size=10)
    key = reach.keys.payload(payload.id)
    match reach.chance.randrange(3):
        case 0:
            await reach.client.rpush(key, "a", "b")
        case 1:
            await reach.client.hset(key, "a", "b")
        case _:
            await reach.client.sadd(key, "a")
    await reach.client.expire(key, 600)
    message = reach.image(payload) if reach.chance.random() < 0.5 else _result_of(reach, payload)
    await reach.add_message(message)


async def other_sizes(reach: Reach) -> None:
    """Fewer bytes than claimed, or a few more."""
    payload = await reach.payload(b"\xff\xd8" + bytes(1000), reach.chance.choice((0, 10, 2000)))
    message = reach.image(payload) if reach.chance.random() < 0.5 else _result_of(reach, payload)
    await reach.add_message(message)


async def huge(reach: Reach, made: Callable[[Reach, Payload], ResultMessage] | None = None) -> None:
    """Bytes claimed as ten, and named by many messages at once."""
    payload = Payload(id=new_token(), size=10)
    key = reach.keys.payload(payload.id)
    await reach.client.setrange(key, HUGE - 1, b"\0")
    await reach.client.expire(key, 600)
    for _ in range(NAMED_BY):
        await reach.add_message(made(reach, payload) if made else reach.image(payload))


async def bomb(reach: Reach, made: Callable[[], bytes], *, crops: bool = False) -> None:
    """A picture that costs much, beside its message."""
    payload = await reach.payload(made())
    await reach.add_message(reach.image(payload, recipe=CROPS if crops else RECIPE))


KINDS = {
    "payloads missing": Kind(missing),
    "payloads of another type": Kind(other_types),
    "payloads of another size": Kind(other_sizes),
    "huge payloads of images": Kind(huge, most=1),
    "huge payloads of results": Kind(partial(huge, made=_result_of), most=1),
    "bomb: scans": Kind(partial(bomb, made=bombs.scans), most=2),
    "bomb: fill bytes": Kind(partial(bomb, made=bombs.fill_bytes), most=2),
    "bomb: chunks": Kind(partial(bomb, made=bombs.chunks), most=2),
    "bomb: AVIF that lies": Kind(partial(bomb, made=bombs.avif_that_lies), most=2),
    "bomb: profile": Kind(partial(bomb, made=bombs.profile_for_each_face, crops=True), most=2),
    "bomb: pixels": Kind(partial(bomb, made=bombs.pixels)),
}

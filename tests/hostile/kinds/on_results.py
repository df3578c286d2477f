"""Results that nobody made."""

from shared.messages import Face, ResultMessage, SourceFailedMessage, Status, new_token
from tests.hostile.bombs import pixels
from tests.hostile.reach import RECIPE, Kind, Reach

FACE = Face(x=1, y=1, w=10, h=10, score=0.99)


async def unknown_rows(reach: Reach) -> None:
    """A result, with a picture, of an image that nobody asked for."""
    image = reach.image(source_uri="file:///pictures/private.jpg")
    payload = await reach.payload(pixels())
    result = ResultMessage(
        **image.subject,
        status=Status.FACES,
        faces=(FACE,),
        annotated=image.keys.annotated,
        payload=payload,
    )
    await reach.add_message(result)


async def other_generations(reach: Reach) -> None:
    """A result of a real picture, of a generation that was not asked for yet."""
    image = reach.image(
        id=reach.chance.choice(reach.real),
        source_uri="file:///pictures/a.jpg",
        generation=reach.chance.choice((2, 3, 1000, (1 << 31) - 1)),
    )
    await reach.add_message(
        ResultMessage(**image.subject, status=Status.FACES, faces=(FACE, FACE, FACE))
    )


async def failed_sources(reach: Reach) -> None:
    """A refused source of a submission that there is not."""
    message = SourceFailedMessage(
        submission=new_token(), trace=new_token(), recipe=RECIPE, part=0, reason="forged"
    )
    await reach.add_message(message)


KINDS = {
    "results of unknown rows": Kind(unknown_rows),
    "results of other generations": Kind(other_generations),
    "refusals of unknown sources": Kind(failed_sources, most=60),
}

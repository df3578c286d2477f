"""Again: search one ended picture once more within a submission that has it, as a result of it that
was lost is made anew."""

from shared.catalog import Catalog, Filter, QueuedImage
from shared.messages import ImageMessage
from shared.streams.producer import Producer


async def again(
    catalog: Catalog, producer: Producer, submission: str, image: str, recipe: str
) -> bool:
    """Queue a picture under its next generation and hand it on; whether there was one to hand on.

    If this is cut off between the two, the row stays queued, and whatever names it again sends it.

    Raises:
        Unreachable: the database or Redis does not answer.
    """
    rows = await catalog.reader.page(Filter(image=image, recipe=recipe), limit=1, faces=False)
    if not rows or rows[0].source_uri is None:
        return False
    generation = await catalog.curator.revive(image, recipe)
    if generation is None:
        return False
    row = rows[0]
    named = QueuedImage(row.id, row.name, row.source_uri, row.source_version, row.bytes)
    message = ImageMessage.of(
        named,
        submission=submission,
        recipe=await catalog.reader.recipe(recipe),
        generation=generation,
    )
    return await producer.add(message)

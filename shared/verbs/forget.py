"""Forget: delete all that is kept of some pictures, because a person asked for it."""

from collections.abc import AsyncIterator
from dataclasses import replace

from shared.catalog import Catalog, Filter
from shared.messages import ImageMessage, ResultMessage
from shared.picture_keys import PictureKeys
from shared.stores.objects import Objects
from shared.streams.dead import DeadLetters

BATCH = 500


async def forget(catalog: Catalog, objects: Objects, filter_: Filter) -> AsyncIterator[str]:
    """Delete rows and objects of the pictures of a filter; yields their names.

    Rows go first and leave a tombstone each, so that a result still under way finds none and its
    object is deleted by the writer. If this is cut off between the two, forgetting anything again
    deletes the objects that were left.

    Raises:
        Unreachable: the database or the store does not answer; what was yielded is forgotten.
        ObjectRefused: the store does not let the objects be deleted.
    """
    await _delete_objects(catalog, objects)
    while rows := await catalog.curator.forget_some(filter_, BATCH):
        await _delete_objects(catalog, objects)
        for forgotten in rows:
            yield forgotten.name


async def forget_letters(catalog: Catalog, letters: DeadLetters, filter_: Filter) -> int:
    """Drop the dead letters of a filter's pictures, with the bytes that they keep; how many.

    To be called before their rows go, so that the same again does what was cut off. A letter of
    several pictures that were sent along together stays: it is of others, too.

    Raises:
        Unreachable: the database does not answer.
        RedisError: as the server answers.
    """
    dropped = 0
    async for letter in letters.all():
        message = letter.message
        if not isinstance(message, ImageMessage | ResultMessage):
            continue
        if filter_.image not in (None, message.id):
            continue
        of_it = replace(filter_, image=message.id, recipe=message.recipe_id)
        if await catalog.reader.page(of_it, limit=1, faces=False):
            dropped += await letters.drop(letter)
    return dropped


async def _delete_objects(catalog: Catalog, objects: Objects) -> None:
    while found := await catalog.curator.uncleared(BATCH):
        for image, recipe in found:
            await objects.delete_all(await objects.keys_of(PictureKeys(recipe, image)))
        await catalog.curator.clear(found)

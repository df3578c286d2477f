"""Forget: delete all that is kept of some pictures, because a person asked for it."""

from collections.abc import AsyncIterator

from shared.catalog import Catalog, Filter
from shared.picture_keys import PictureKeys
from shared.stores.objects import Objects

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


async def _delete_objects(catalog: Catalog, objects: Objects) -> None:
    while found := await catalog.curator.uncleared(BATCH):
        for image, recipe in found:
            await objects.delete_all(await objects.keys_of(PictureKeys(recipe, image)))
        await catalog.curator.clear(found)

"""What touches rows and objects together: forgetting pictures, and sweeping what no row names."""

from collections.abc import AsyncIterator
from datetime import timedelta

from shared.catalog import Catalog, Filter, ObjectsOfRow
from shared.messages import now
from shared.objects import Objects
from shared.picture_keys import PictureKeys

SWEEP_AGE = timedelta(hours=1)
"""Objects younger than this may still get their row: they are written before it."""

BATCH = 500


async def forget(
    catalog: Catalog, objects: Objects, filter_: Filter, dry_run: bool = False
) -> AsyncIterator[str]:
    """Delete rows and objects of images, because a person asked for it; yields their names.

    Rows go first and leave a tombstone each, so that a result still under way finds none and its
    object is deleted by the writer. If this is cut off between the two, forgetting anything again
    deletes the objects that were left. A dry run only yields the names.

    Raises:
        Unreachable: the database or the store does not answer; what was yielded is forgotten.
        ObjectRefused: the store does not let the objects be deleted.
    """
    if dry_run:
        async for row in catalog.reader.results(filter_, faces=False):
            yield row.name
        return
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


async def sweep(
    catalog: Catalog, objects: Objects, older_than: timedelta = SWEEP_AGE, dry_run: bool = False
) -> AsyncIterator[str]:
    """Delete the objects that no row names, of a certain age; yields their keys.

    Only keys of pictures (`shared.picture_keys`) are ever touched.
    """
    limit = now() - older_than
    batch: list[tuple[str, PictureKeys]] = []
    async for found in objects.list():
        owner = PictureKeys.of(found.key)
        if owner is not None and found.modified < limit:
            batch.append((found.key, owner))
        if len(batch) >= BATCH:
            for key in await _sweep_some(catalog, objects, batch, dry_run):
                yield key
            batch = []
    for key in await _sweep_some(catalog, objects, batch, dry_run):
        yield key


async def _sweep_some(
    catalog: Catalog, objects: Objects, batch: list[tuple[str, PictureKeys]], dry_run: bool
) -> list[str]:
    owners = {owner for _, owner in batch}
    rows = await catalog.reader.objects_of(sorted((owner.image, owner.recipe) for owner in owners))
    keys = [
        key
        for key, owner in batch
        if not _is_named(key, owner, rows.get((owner.image, owner.recipe)))
    ]
    if not dry_run:
        await objects.delete_all(keys)
    return keys


def _is_named(key: str, owner: PictureKeys, row: ObjectsOfRow | None) -> bool:
    """Whether a picture's row names this object of it, or may yet do so."""
    if row is None:
        return False
    if row.awaited:
        return True
    if key == owner.annotated:
        return row.annotated
    number = owner.crop_number(key)
    return row.crops > 0 if number is None else number < row.crops

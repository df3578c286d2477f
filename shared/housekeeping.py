"""What touches rows and objects together: forgetting pictures, and sweeping what no row names."""

from collections.abc import AsyncIterator
from datetime import timedelta

from shared.catalog import Catalog, Filter
from shared.messages import now
from shared.objects import Objects

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
        async for row in catalog.results(filter_, faces=False):
            yield row.name
        return
    await _delete_objects(catalog, objects)
    while rows := await catalog.forget_some(filter_, BATCH):
        await _delete_objects(catalog, objects)
        for _, _, name in rows:
            yield name


async def _delete_objects(catalog: Catalog, objects: Objects) -> None:
    while keys := await catalog.uncleared(BATCH):
        for id_, recipe in keys:
            crops = [crop.key async for crop in objects.list(f"{recipe}/{id_}")]
            await objects.delete_all([f"{recipe}/{id_}.jpg", *crops])
        await catalog.clear(keys)


async def sweep(
    catalog: Catalog, objects: Objects, older_than: timedelta = SWEEP_AGE, dry_run: bool = False
) -> AsyncIterator[str]:
    """Delete the objects that no row names, of a certain age; yields their keys.

    Only keys of this program's form, `RECIPE/ID.jpg` and `RECIPE/ID/...`, are ever touched.
    """
    limit = now() - older_than
    batch: list[tuple[str, tuple[str, str]]] = []
    async for found in objects.list():
        owner = _owner(found.key)
        if owner is not None and found.modified < limit:
            batch.append((found.key, owner))
        if len(batch) >= BATCH:
            for key in await _sweep_some(catalog, objects, batch, dry_run):
                yield key
            batch = []
    for key in await _sweep_some(catalog, objects, batch, dry_run):
        yield key


async def _sweep_some(
    catalog: Catalog, objects: Objects, batch: list[tuple[str, tuple[str, str]]], dry_run: bool
) -> list[str]:
    unnamed = await catalog.unnamed(sorted({owner for _, owner in batch}))
    keys = [key for key, owner in batch if owner in unnamed]
    if not dry_run:
        await objects.delete_all(keys)
    return keys


def _owner(key: str) -> tuple[str, str] | None:
    """(id, recipe) of the image that an object belongs to."""
    recipe, separator, rest = key.partition("/")
    id_ = rest.partition("/")[0].removesuffix(".jpg")
    hexadecimal = len(id_) == 32 and all(digit in "0123456789abcdef" for digit in id_)
    return (id_, recipe) if separator and hexadecimal else None

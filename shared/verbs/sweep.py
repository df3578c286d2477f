"""Sweep: delete the objects of pictures that no row names, as crashes can leave them."""

from collections.abc import AsyncIterator
from datetime import timedelta

from shared.catalog import Catalog, Filter, ObjectsOfRow
from shared.errors import FacesError
from shared.messages import Status, now
from shared.picture_keys import PictureKeys
from shared.stores.objects import Objects
from shared.verbs.store_check import StoreCheck

SWEEP_AGE = timedelta(hours=1)
"""Objects younger than this may still get their row: they are written before it."""

BATCH = 500

LOOKED_AT = 1000
"""Pictures looked at for one that says which store is the catalog's."""


async def sweep(
    catalog: Catalog, objects: Objects, older_than: timedelta = SWEEP_AGE, dry_run: bool = False
) -> AsyncIterator[str]:
    """Delete the objects that no row names and that are old enough; yields their keys.

    Only keys of pictures (`shared.picture_keys`) are ever touched.

    Raises:
        Unreachable: the database or the store does not answer.
        ObjectRefused: the store does not let the objects be deleted.
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
    if key in owner.all_annotated:
        return row.annotated_uri is not None and key == owner.annotated_in(row.annotated_uri)
    number = owner.crop_number(key)
    return row.crops > 0 if number is None else number < row.crops


async def check_store(catalog: Catalog, objects: Objects) -> None:
    """See that the catalog's pictures are in this store: with another's, all would be swept.

    Raises:
        FacesError: they are not, or the catalog names none, as one that was lost and made anew.
    """
    check = StoreCheck(objects)
    for status in (Status.FACES, Status.NO_FACES):  # a copy, by --copy-rest
        rows = catalog.reader.results(Filter(statuses=(status,)), LOOKED_AT, faces=False)
        async for row in rows:
            if row.annotated_uri is None:
                continue
            if place := await check.elsewhere(row):
                raise FacesError(
                    f"the catalog's pictures are kept in {place}, not in {objects.place}: "
                    f"give --objects {place}; nothing was deleted"
                )
            return
    raise FacesError(
        f"the catalog names no picture, so it cannot say what in {objects.place} is left over; "
        "is it the right catalog? Nothing was deleted"
    )

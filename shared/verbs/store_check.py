"""Whether a catalog's pictures are in the store at hand."""

from shared.catalog import ImageRow
from shared.picture_keys import PictureKeys
from shared.stores.objects import Objects


class StoreCheck:
    """Says of row after row whether its picture is here: deleting in another store is a mistake."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._known = {objects.place}

    async def elsewhere(self, row: ImageRow) -> str | None:
        """The other place where a row's annotated picture is kept; None if it is in this store.

        A folder that was moved is still the same store: the object is found under its key.

        Raises:
            Unreachable: the store does not answer.
        """
        if row.annotated_uri is None:
            return None
        keys = PictureKeys(row.recipe, row.id)
        place = keys.place_in(row.annotated_uri) or row.annotated_uri
        if place in self._known:
            return None
        if not await self._objects.exists(keys.annotated_in(row.annotated_uri)):
            return place
        self._known.add(place)
        return None

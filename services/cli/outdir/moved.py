"""Where an OUT's pictures are by now: a row names its picture by where OUT was when it was drawn.

OUT may be moved, copied, or mounted elsewhere. Its store is then still `OUT/objects`, which holds a
picture under the same key; what another store holds stays named there.
"""

from dataclasses import replace
from pathlib import Path

from services.cli.outdir.private import OBJECTS
from shared.catalog import ImageRow
from shared.folders.folder import Folder
from shared.picture_keys import PictureKeys


class Moved:
    """Names pictures anew; without an OUT, each keeps its name. The first picture of each former
    place that is found here speaks for the others: one look at the disk a place, as a rule."""

    def __init__(self, out: Path | None) -> None:
        self._store = None if out is None else (out.absolute() / OBJECTS)
        self._place = "" if self._store is None else self._store.as_uri()
        self._former: set[str] = set()

    def here(self, row: ImageRow) -> ImageRow:
        """A row with its picture's URI as it is now."""
        if row.annotated_uri is None or self._store is None:
            return row
        key = row.annotated_uri.rpartition(f"/{OBJECTS}/")[2]
        place = row.annotated_uri.removesuffix(f"/{key}")
        if place == self._place or PictureKeys.of(key) != PictureKeys(row.recipe, row.id):
            return row
        if place not in self._former:
            if not _has(self._store, key):
                return row
            self._former.add(place)
        return replace(row, annotated_uri=f"{self._place}/{key}")


def _has(store: Path, key: str) -> bool:
    try:
        with Folder.open(store, link=False) as folder:
            return folder.is_file(key)
    except OSError:
        return False

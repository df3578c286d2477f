"""Results that nobody asked for: seen before any picture of theirs is stored.

Ingest commits the row of an image before it hands the image on. So a result without a row was made
by hand, or its row was lost with a database that was restored from a backup. Its pictures would
stay in the object store, under whatever image it names.
"""

from collections.abc import Sequence

from services.writer.batch import Result
from shared.catalog import Catalog
from shared.messages import ResultMessage


class AskedFor:
    """Looks results up in the catalog."""

    def __init__(self, catalog: Catalog, *, take_unknown: bool) -> None:
        """With `take_unknown` every result counts as asked for."""
        self._catalog = catalog
        self._take_unknown = take_unknown

    async def unknown(self, messages: Sequence[Result]) -> set[int]:
        """Places of the results with pictures to be stored that nobody asked for.

        Of those without, the commit finds out by itself: they cost nothing here.

        Raises:
            Unreachable: the database does not answer.
        """
        if self._take_unknown:
            return set()
        with_pictures = {
            place: (one.id, one.recipe.id)
            for place, one in enumerate(messages)
            if isinstance(one, ResultMessage) and one.payloads
        }
        if not with_pictures:
            return set()
        known = await self._catalog.reader.asked_for(sorted(set(with_pictures.values())))
        return {place for place, key in with_pictures.items() if key not in known}

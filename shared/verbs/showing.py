"""Showing: which recipes' pictures show faces, and how many of them a catalog still has."""

from shared.catalog import Catalog, Filter
from shared.messages import Status
from shared.recipe import Mode, Recipe


def shows(recipe: Recipe) -> bool:
    """Whether some picture is made that shows faces: crops do, whatever the mode."""
    return recipe.crops or not (recipe.mode.hides or recipe.mode is Mode.NONE)


def pictures_of(recipe: str) -> Filter:
    """Those of a recipe's entries that have pictures."""
    return Filter(statuses=(Status.FACES,), recipe=recipe)


async def showing(catalog: Catalog, but: str = "") -> dict[str, int]:
    """How many entries have pictures that show faces, by the ids of their recipes, `but` for one.

    Raises:
        Unreachable: the database does not answer.
    """
    found = {
        recipe.id: await catalog.reader.number(pictures_of(recipe.id))
        for recipe in await catalog.reader.recipes()
        if recipe.id != but and shows(recipe)
    }
    return {recipe: number for recipe, number in found.items() if number}

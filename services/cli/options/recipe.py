"""One option for each parameter of a recipe, and the recipe that is made of them."""

import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from shared.errors import SettingsError
from shared.model_table import MODELS, ModelEntry
from shared.recipe import Mode, Recipe, Shape

PANEL = "What is searched and drawn"


def takes_recipe(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each parameter of a recipe, and `--model`.

    The command receives them as `recipe: dict[str, Any]`, only those that were given. So a new
    field of `Recipe` is an option of every command that makes recipes, with its own words.
    """
    names = [name for name in Recipe.model_fields if name not in ("model", "model_version")]

    @wraps(command)
    def with_recipe(**given: Any) -> None:  # Any: options of all types pass through
        recipe = {name: given.pop(name) for name in names}
        command(**given, recipe={name: v for name, v in recipe.items() if v is not None})

    own = [p for p in inspect.signature(command).parameters.values() if p.name != "recipe"]
    parameters = [*own, *map(_option, names)]
    with_recipe.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_recipe.__annotations__ = {p.name: p.annotation for p in parameters}
    del with_recipe.__wrapped__  # or Typer would look behind it
    return with_recipe


def _option(name: str) -> inspect.Parameter:
    field = Recipe.model_fields[name]
    flag = f"--{name.replace('_', '-')}"
    kind = field.annotation
    assert kind is not None and field.default is not PydanticUndefined
    default = field.default
    shown = default.value if isinstance(default, StrEnum) else str(default)
    if name == "min_score":
        shown = "the model's own, see `faces models list`; a lower one where faces are hidden"
    if name == "shape":
        shown = "ellipse"
    if kind is bool:
        shown = "on" if default else "off"
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        help=f"{field.description} [default: {shown}]",
        show_default=False,
        rich_help_panel=PANEL,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _of_hiding(entry: ModelEntry, given: Mapping[str, Any]) -> dict[str, Any]:
    """What else is chosen where faces are hidden (Any: as of `make_recipe`): a face that stays
    visible costs more than a place that is painted over for nothing."""
    if given.get("mode") not in [mode.value for mode in Mode if mode.hides]:
        return {}
    return {"min_score": entry.hiding_score, "shape": Shape.ELLIPSE}


def make_recipe(model: str, given: Mapping[str, Any]) -> Recipe:
    """The recipe of a model and the parameters that were given (Any: of their own types).

    Scores of different models mean different things, so each has a least score of its own, and a
    lower one for hiding.

    Raises:
        SettingsError: there is no such model, or a parameter is out of its range.
    """
    entry = MODELS.get(model)
    if entry is None:
        raise SettingsError(f"there is no model {model!r}; choose one of {', '.join(MODELS)}")
    try:
        parameters = {"min_score": entry.min_score, **_of_hiding(entry, given), **given}
        return Recipe(model=entry.name, model_version=entry.version, **parameters)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        flag = "--" + str(first["loc"][0]).replace("_", "-")
        raise SettingsError(f"{flag} {first['input']}: {first['msg']}") from None

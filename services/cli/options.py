"""Options that several commands share, and what is made of them: settings and a recipe."""

import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from shared.errors import SettingsError
from shared.recipe import Recipe

if TYPE_CHECKING:
    from shared.settings import Settings

RedisUrl = Annotated[
    str | None,
    typer.Option("--redis", metavar="URL", help="Redis or Valkey server. [env: FACES_REDIS_URL]"),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", help="Catalog. [env: FACES_DATABASE_URL]"),
]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="OUT", help="Output folder of a `faces run`."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME", help="Face model: see `faces models list`. [env: FACES_MODEL]"
    ),
]


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    COCO = "coco"
    PARQUET = "parquet"


class Sidecar(StrEnum):
    """Files beside annotated pictures that say where the faces are."""

    JSON = "json"
    XMP = "xmp"


Sidecars = Annotated[
    list[Sidecar] | None,
    typer.Option(
        help="Write the faces beside each picture in OUT/annotated, and keep that right from then "
        "on; xmp is for photo managers."
    ),
]


RECIPE_PANEL = "What is searched and drawn"


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
        shown = "the model's own, see `faces models list`"
    if kind is bool:
        shown = "on" if default else "off"
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        help=f"{field.description} [default: {shown}]",
        show_default=False,
        rich_help_panel=RECIPE_PANEL,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def make_recipe(model: str, given: Mapping[str, Any]) -> Recipe:
    """The recipe of a model and the parameters that were given (Any: of their own types).

    Scores of different models mean different things, so each has a least score of its own.

    Raises:
        SettingsError: there is no such model, or a parameter is out of its range.
    """
    from shared.model_table import MODELS

    entry = MODELS.get(model)
    if entry is None:
        raise SettingsError(f"there is no model {model!r}; choose one of {', '.join(MODELS)}")
    try:
        parameters = {"min_score": entry.min_score, **given}
        return Recipe(model=entry.name, model_version=entry.version, **parameters)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        flag = "--" + str(first["loc"][0]).replace("_", "-")
        raise SettingsError(f"{flag} {first['input']}: {first['msg']}") from None


def load_settings(**overrides: object) -> "Settings":
    """Settings from the environment, with what the command line gives on top.

    Raises:
        SettingsError: a value cannot be used.
    """
    from shared.settings import Settings

    return Settings.load(overrides)

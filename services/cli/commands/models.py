"""`faces models list|pull`, and which model a command uses where none is named."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from services.cli.deployment import load_settings
from services.cli.options.common import AsJson
from services.cli.talk import say as say_to_person
from shared.errors import SettingsError
from shared.model_table import MODELS

app = typer.Typer(no_args_is_help=True, help="The face models: list them, and fetch their weights.")

PREFERRED = ("yunet", "centerface")
"""Which weights are taken where they are there already, best first; Haar is the last resort."""


def is_there(name: str, models_dir: Path) -> bool:
    """Whether a model's weights are on this machine; they are checked when they are loaded."""
    entry = MODELS[name]
    return bool(entry.installed) or (models_dir / entry.file).is_file()


def choose(named: str | None, models_dir: Path, say: Callable[[str], None]) -> str:
    """The model to use: the one named, else the best whose weights are here; else fetch one.

    Raises:
        SettingsError: there is no such model.
        ModelMissing: the named one cannot be had.
    """
    named = named or os.environ.get("FACES_MODEL")
    if named is not None and named not in MODELS:
        raise SettingsError(f"there is no model {named!r}; choose one of {', '.join(MODELS)}")
    if named is None:
        chosen = next((name for name in PREFERRED if is_there(name, models_dir)), None)
    else:
        chosen = named if is_there(named, models_dir) else None
    if chosen is None:
        from services.detector.models.pull import pull

        chosen = pull(named, models_dir, say)
    elif named is None and MODELS[chosen].cost:
        say(f"using {chosen}, {MODELS[chosen].cost}; `faces models pull yunet` gets the better one")
    return chosen


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models, and whether their weights are here.

    Example: `faces models list`
    """
    folder = load_settings().models_dir
    if as_json:
        import json

        rows = [
            {
                "name": entry.name,
                "present": is_there(entry.name, folder),
                "version": entry.version,
                "file": entry.file,
                "sha256": entry.sha256,
                "licence": entry.licence,
                "origin": entry.origin,
            }
            for entry in MODELS.values()
        ]
        print(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("model", "here", "licence", "why"):
        table.add_column(heading, overflow="fold")
    for entry in MODELS.values():
        here = "yes" if is_there(entry.name, folder) else "no"
        table.add_row(entry.name, here, entry.licence, entry.why)
    Console().print(table)
    print(f"weights are kept in {folder} (FACES_MODELS_DIR)")


@app.command("pull")
def pull_model(
    name: Annotated[
        str | None,
        typer.Argument(help="Which one. [default: the best that can be fetched]"),
    ] = None,
) -> None:
    """Fetch a model's weights, checked against their SHA-256.

    Example: `faces models pull`
    """
    from services.detector.models.pull import pull

    pull(name, load_settings().models_dir, say_to_person)

"""`faces ingest`, `faces detector`, `faces writer`: one service, as a container runs it."""

import importlib
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

from services.cli.deployment import load_settings

SERVICES = {
    "ingest": "Expand submitted sources into images.",
    "detector": "Find faces in images, with one process for each CPU.",
    "writer": "Commit results to the catalog and pictures to the object store.",
}


class _WithSettings(TyperCommand):
    """Lists all settings below its help, and reads them only when that is asked for."""

    def format_help(self, *arguments: Any) -> None:  # Any: as Typer's own
        """The usual help, then the settings."""
        from services.cli.formats.settings import as_help

        self.epilog = as_help()
        super().format_help(*arguments)


def register(app: typer.Typer) -> None:
    """Add one command a service."""
    for name, what in SERVICES.items():
        add = app.command(
            name, cls=_WithSettings, help=_help(name, what), rich_help_panel="Services"
        )
        add(_command(name))


def _help(name: str, what: str) -> str:
    return (
        f"{what} Runs until SIGTERM, then drains.\n\n"
        f"Example: `FACES_REDIS_URL=redis://10.0.0.5/0 faces {name}`"
    )


def _command(name: str) -> Callable[[], None]:
    def command() -> None:
        from shared.service import main

        module = importlib.import_module(f"services.{name}.service")
        raise typer.Exit(main(name, module.open_stage, load_settings()))

    return command

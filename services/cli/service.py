"""`faces ingest`, `faces detector`, `faces writer`: one service, as a container runs it."""

import importlib

import typer

from services.cli.options import load_settings

SERVICES = {
    "ingest": "Expand submitted sources into images.",
    "detector": "Find faces in images, with one process for each CPU.",
    "writer": "Commit results to the catalog and pictures to the object store.",
}


def register(app: typer.Typer) -> None:
    """Add one command a service."""
    for name, what in SERVICES.items():
        app.command(name, help=_help(name, what), rich_help_panel="Services")(_command(name))


def _help(name: str, what: str) -> str:
    return (
        f"{what} Runs until SIGTERM, then drains.\n\n"
        "Everything is set by `FACES_*` variables (see the README).\n\n"
        f"Example: `FACES_REDIS_URL=redis://10.0.0.5/0 faces {name}`"
    )


def _command(name: str):  # type: ignore[no-untyped-def]  # a command of Typer's own kind
    def command() -> None:
        from shared.service import main

        module = importlib.import_module(f"services.{name}.service")
        raise typer.Exit(main(name, module.open_stage, load_settings()))

    return command

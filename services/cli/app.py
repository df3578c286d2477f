"""The `faces` command: which commands there are, in the order people meet them."""

from typing import Annotated

import typer

from services.cli.commands import (
    cancel,
    dead,
    forget,
    models,
    redo,
    results,
    run,
    service,
    show,
    stats,
    status,
    submit,
    sweep,
)

app = typer.Typer(
    name="faces",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Find the faces in very large sets of pictures, highlight or hide them, and keep what was "
    "found.\n\nExample: `faces run ~/Pictures -o out`",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"faces {version('faces-in-the-cloud')}")
        raise typer.Exit


@app.callback()
def faces(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Nothing to do before a command."""


app.command("run")(run.command)
app.command("submit")(submit.command)
app.command("stats")(stats.command)
app.command("status")(status.command)
app.command("cancel")(cancel.command)
app.command("results")(results.command)
app.command("show")(show.command)
app.command("redo")(redo.command)
app.command("forget")(forget.command)
app.command("sweep")(sweep.command)
app.add_typer(dead.app, name="dead")
app.add_typer(models.app, name="models")
service.register(app)

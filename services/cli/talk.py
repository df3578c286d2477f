"""What the command says to the person who typed it; its results go to standard output instead."""

import sys
from typing import TYPE_CHECKING

import typer

from shared.errors import FacesError
from shared.printing import printable

if TYPE_CHECKING:
    from shared.verbs.redo import Redone


def say(text: str) -> None:
    """One line on standard error, whatever the names in it are."""
    print(printable(text), file=sys.stderr, flush=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is deleted for good; `yes` says that the answer was given before.

    Raises:
        FacesError: the answer is no, or nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise FacesError(
            f"{question} There is no terminal to ask on: give --yes, or --dry-run to look"
        )
    if not typer.confirm(question, err=True):
        raise FacesError("nothing was done")


def notes_on(done: "Redone") -> list[str]:
    """Of pictures that are searched again: what people should know beside how many were sent."""
    notes = []
    if done.under_way:
        notes.append(f"{done.under_way:,} were under way already")
    if done.lost:
        notes.append(
            f"{done.lost:,} were left as they are: they had been sent along and nobody kept "
            "their bytes; submit them again from where they are"
        )
    return notes

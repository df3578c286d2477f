"""`--exclude` and `--include`: what of folders and buckets is searched."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from shared.errors import FacesError
from shared.folders.patterns import LONGEST_PATTERN, MOST_PATTERNS, Choice

Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="PATTERN",
        help="Leave out files and folders that match, as in .gitignore: '*.png', 'raw/', '/a/b'. "
        "May be repeated.",
    ),
]

Include = Annotated[
    list[str] | None,
    typer.Option(
        "--include",
        metavar="PATTERN",
        help="Take only files that match, or lie in folders that do; also in folders that are "
        "else passed over. May be repeated.",
    ),
]


@dataclass(frozen=True)
class Patterns:
    """What was asked for, checked."""

    exclude: tuple[str, ...] = ()
    include: tuple[str, ...] = ()

    @property
    def choice(self) -> Choice:
        """What they leave of a folder."""
        return Choice(self.exclude, self.include)


def patterns(exclude: Sequence[str] | None, include: Sequence[str] | None) -> Patterns:
    """Raises FacesError: one of them is no pattern, or there are too many."""
    made = Patterns(tuple(exclude or ()), tuple(include or ()))
    for option, texts in (("--exclude", made.exclude), ("--include", made.include)):
        if len(texts) > MOST_PATTERNS:
            raise FacesError(f"{option} can be given {MOST_PATTERNS} times, not {len(texts)}")
        for text in texts:
            if len(text) > LONGEST_PATTERN:
                raise FacesError(f"{option}: a pattern has {LONGEST_PATTERN} characters at most")
    try:
        _ = made.choice
    except ValueError as error:
        raise FacesError(str(error)) from None
    return made

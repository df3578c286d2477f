"""What the runs of an OUT were given: all that may be read again for it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.cli.outdir.record import Record
from services.cli.outdir.roots import Roots


@dataclass(frozen=True)
class Given:
    """Paths, in which links were resolved, and whether links below them were followed."""

    paths: tuple[Path, ...]
    follow_links: bool


def remember(out: Path, paths: Sequence[Path], *, follow_links: bool) -> None:
    """Note what a run is given; who calls holds OUT's lock."""
    known = Roots(paths).known()
    with Record.open(Record.file(out)) as record:
        record.keep_roots(known)
        record.keep_followed((path for path, _ in known), follow=follow_links)


def recall(out: Path) -> Given:
    """What all runs were given; nothing where none noted it; who calls holds OUT's lock."""
    if not Record.file(out).is_file():
        return Given((), follow_links=False)
    with Record.open(Record.file(out)) as record:
        paths = tuple(Path(os.fsdecode(path)) for path, _ in record.roots())
        return Given(paths, follow_links=bool(record.followed()))

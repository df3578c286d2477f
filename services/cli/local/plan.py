"""What one `faces run` will do: its paths, recipe and settings, checked before anything starts."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from services.cli.deployment import load_settings
from services.cli.options.patterns import Patterns
from shared.errors import FacesError
from shared.recipe import Recipe
from shared.settings import PicturesBy, Settings
from shared.urls import sqlite_url

if TYPE_CHECKING:
    from shared.catalog import Filter

EVERYTHING = Patterns()


@dataclass(frozen=True)
class Again:
    """Which images are searched again; `recipe` of None: each by its own."""

    filter: "Filter"
    recipe: Recipe | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that `run` was asked for. `embedded` says that it starts its own server."""

    paths: tuple[Path, ...]
    out: Path
    recipe: Recipe
    settings: Settings
    embedded: bool
    name: str
    done_dir: Path | None = None
    follow_links: bool = False
    patterns: Patterns = EVERYTHING
    again: Again | None = None
    """Instead of expanding paths: images of earlier runs that are searched again."""

    def on_server(self, redis_url: str) -> "Plan":
        """The same plan on a server that has only now been started."""
        settings = self.settings.model_copy(update={"redis_url": SecretStr(redis_url)})
        return replace(self, settings=settings)

    @property
    def private(self) -> Path:
        """The folder below OUT that is nobody else's."""
        return self.out / ".faces"

    @property
    def objects(self) -> Path | None:
        """The folder of objects, None where they are kept elsewhere than on this host."""
        url = urlsplit(self.settings.objects_url)
        return Path(unquote(url.path)) if url.scheme == "file" else None

    @property
    def excluded(self) -> tuple[Path, ...]:
        """Folders that are not walked into, though they may lie in an input folder."""
        return (self.out, self.done_dir) if self.done_dir else (self.out,)


def check_paths(paths: Sequence[Path], out: Path, done_dir: Path | None) -> None:
    """See that every input is there and can be read.

    Raises:
        FacesError: with one line about the first that is not.
    """
    own = out.resolve()
    for path in paths:
        try:
            if path.is_dir():
                next(iter(os.scandir(path)), None)
            elif not path.exists():
                raise FacesError(f"there is no file or folder {str(path)!r}; nothing was started")
        except OSError as error:
            raise FacesError(
                f"{str(path)!r} cannot be read: {error.strerror or error}; nothing was started"
            ) from None
        if path.resolve().is_relative_to(own):
            raise FacesError(
                f"{str(path)!r} is inside the output folder {str(out)!r}, which is not searched; "
                "choose another with -o"
            )
    if done_dir is not None and done_dir.exists() and not done_dir.is_dir():
        raise FacesError(f"--done-dir {str(done_dir)!r} is not a folder")


def run_settings(
    paths: Sequence[Path],
    out: Path,
    redis: str | None,
    database: str | None,
    objects: str | None,
    slots: int | None,
    verbose: bool,
    *,
    follow_links: bool = False,
) -> tuple[Settings, bool]:
    """Settings of the three services inside a run; and whether it starts its own server.

    What is neither given nor set in the environment lies below OUT. What may be read is what was
    given, by its real path, and what FACES_SOURCE_ROOTS names. Links are followed to anywhere only
    on a server of its own, to which nobody else adds.
    """
    redis = redis or os.environ.get("FACES_REDIS_URL")
    database = database or os.environ.get("FACES_DATABASE_URL")
    objects = objects or os.environ.get("FACES_OBJECTS_URL")
    base = load_settings()
    given = (Path("/"),) if follow_links and not redis else map(Path, map(os.path.realpath, paths))
    settings = load_settings(
        redis_url=redis,
        database_url=database or sqlite_url(out / "faces.db"),
        objects_url=objects or _file_url(out),
        slots=slots,
        pictures_by=PicturesBy.DETECTOR,
        log_level="info" if verbose else _unless_set("FACES_LOG_LEVEL", "error"),
        log_format=_unless_set("FACES_LOG_FORMAT", "console"),
        # What a killed run left there is of rows that a deleted faces.db had: nobody else adds.
        take_unknown_results=None if redis else True,
        prefix=_prefix(base.prefix, out, database) if redis else None,
    )
    # Unlike in FACES_SOURCE_ROOTS, one file may be named: its neighbours were not given.
    roots = tuple(dict.fromkeys((*base.source_roots, *given)))
    return settings.model_copy(update={"source_roots": roots}), redis is None


def _unless_set(variable: str, value: str) -> str | None:
    """A default of `run` that the environment may change."""
    return None if variable in os.environ else value


def _prefix(prefix: str, out: Path, database: str | None) -> str:
    """Keys go with their ledger: runs with ledgers of their own must not share streams."""
    if database or "FACES_PREFIX" in os.environ:
        return prefix
    return f"{prefix}-{sha256(os.fsencode(out.resolve())).hexdigest()[:8]}"


def _file_url(out: Path) -> str:
    return (out.absolute() / "objects").as_uri()

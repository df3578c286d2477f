"""The options that say where a deployment is, and those that many commands have."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from services.cli.formats.registry import SIDECARS
from shared.errors import FacesError


class Where(StrEnum):
    """Where `--sidecar` writes."""

    ANNOTATED = "annotated"
    ORIGINALS = "originals"


Given = TypeVar("Given", str, list[str] | None)


def one_of(names: Iterable[str]) -> Callable[[Given], Given]:
    """For an option whose values are the names of a registry: refuses any other."""
    known = list(names)

    def check(given: Given) -> Given:
        for name in [given] if isinstance(given, str) else given or []:
            if name not in known:
                raise typer.BadParameter(f"{name!r} is not one of {', '.join(known)}")
        return given

    return check


RedisUrl = Annotated[
    str | None,
    typer.Option("--redis", metavar="URL", help="Redis or Valkey server. [env: FACES_REDIS_URL]"),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", help="Catalog. [env: FACES_DATABASE_URL]"),
]
ObjectsUrl = Annotated[
    str | None,
    typer.Option(
        "--objects", metavar="URL", help="Object store. [env: FACES_OBJECTS_URL, or that of OUT]"
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="OUT", help="Output folder of a `faces run`."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Show no progress.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Pattern = typer.Argument(
    metavar="PATTERN", help="Names, with * (also for /), ? and [] as in a shell; or one id."
)
Submission = Annotated[
    str | None,
    typer.Option(
        metavar="ID", help="Only pictures of this submission; the start of its id will do."
    ),
]
History = Annotated[
    bool,
    typer.Option(
        "--history", help="Also older versions of pictures, and what earlier recipes made of them."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME", help="Face model: see `faces models list`. [env: FACES_MODEL]"
    ),
]
Sidecars = Annotated[
    list[str] | None,
    typer.Option(
        "--sidecar",
        metavar="|".join(SIDECARS),
        callback=one_of(SIDECARS),
        help="Write the faces in a file beside each picture in OUT/annotated, and keep it up to "
        "date from then on; xmp is for photo managers.",
    ),
]
Beside = Annotated[
    Where,
    typer.Option(
        help="Where --sidecar writes. Beside originals (xmp only) regions are added to what other "
        "programs wrote, turned as the file stores its pixels.",
    ),
]
Embed = Annotated[
    bool,
    typer.Option(
        "--embed",
        help="With --beside originals: write the regions into JPEG, PNG and WebP files themselves, "
        "whose pixels stay byte by byte; others get the sidecar.",
    ),
]


def check_beside(where: Where, forms: Iterable[str] | None, *, embed: bool = False) -> None:
    """See that what is asked for goes together.

    Raises:
        FacesError: it does not.
    """
    if where is Where.ORIGINALS and list(forms or ()) != ["xmp"]:
        raise FacesError("--beside originals goes with --sidecar xmp, and with no other form")
    if embed and where is not Where.ORIGINALS:
        raise FacesError(
            "--embed writes into originals: give --sidecar xmp --beside originals, too"
        )

"""`faces status` and `faces cancel`: where submissions stand, and ending one early."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import AsJson, DatabaseUrl, Out

if TYPE_CHECKING:
    from shared.catalog import Catalog, SubmissionStatus

WATCH_SECONDS = 1.0

Submission = Annotated[
    str, typer.Argument(metavar="ID", help="A submission, or the beginning of its id.")
]


def command(
    submission: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="A submission, or the beginning of its id."),
    ] = None,
    out: Out = None,
    database: DatabaseUrl = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Of the newest, so many.")] = 20,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew each second until all are complete.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell how far submissions are, and how long they will take at the pace of the last minute.

    Example: `faces status --database postgresql://faces@10.0.0.6/faces`

    Example, one of them until it is complete: `faces status 3f2a -o out --watch`
    """
    asyncio.run(_status(submission, out, database, limit, watch=watch, as_json=as_json))


def cancel(
    submission: Submission,
    out: Out = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """End a submission early: what it still has queued ends as failed, with the reason cancelled.

    Pictures that another submission named too stay queued for that one. Submitting a picture
    again later does it after all.

    Example: `faces cancel 3f2a --database postgresql://faces@10.0.0.6/faces`
    """
    asyncio.run(_cancel(submission, out, database, as_json=as_json))


@dataclass(frozen=True)
class Standing:
    """A submission's progress, and how it moves: images a second, and seconds that are left."""

    progress: "SubmissionStatus"
    rate: float
    eta: float | None

    @classmethod
    async def of(cls, catalog: "Catalog", progress: "SubmissionStatus") -> "Standing":
        """Measured by what ended lately; an estimate needs every part to be expanded."""
        from services.cli.local.progress import Pace

        rate = 0.0 if progress.complete else await catalog.reader.pace(progress.id)
        named_all = progress.sealed and progress.parts_open == 0
        known = named_all and progress.queued
        return cls(progress, rate, Pace.left(progress.queued, rate) if known else None)

    @property
    def state(self) -> str:
        """One word or two for people."""
        one = self.progress
        if one.cancelled:
            return "cancelled" if one.complete else "cancelling"
        if one.complete:
            return "complete"
        if not one.sealed or one.parts_open:
            return "reading sources"
        return "running" if self.rate else "waiting"

    @property
    def left(self) -> str:
        """The time that is left, as people say it."""
        from services.cli.local.progress import duration

        return "" if self.eta is None else duration(self.eta)

    def as_dict(self) -> dict[str, object]:
        """For scripts."""
        told = asdict(self.progress)
        told["created_at"] = self.progress.created_at.isoformat()
        return {
            **told,
            "ended": self.progress.ended,
            "state": self.state,
            "images_per_second": round(self.rate, 3),
            "eta_seconds": None if self.eta is None else round(self.eta, 1),
        }


async def _status(
    submission: str | None,
    out: Path | None,
    database: str | None,
    limit: int,
    *,
    watch: bool,
    as_json: bool,
) -> None:
    from services.cli.places import opened_catalog, whole_id

    async with opened_catalog(out, database) as catalog:
        one = await whole_id(catalog, submission) if submission else None
        while True:
            found = (
                [await catalog.reader.submission(one)]
                if one
                else await catalog.reader.submissions(limit)
            )
            standings = [await Standing.of(catalog, progress) for progress in found]
            if watch and sys.stdout.isatty() and not as_json:
                print("\x1b[H\x1b[2J", end="")  # home, and clear
            _tell(standings, alone=one is not None, as_json=as_json)
            if not watch or all(progress.complete for progress in found):
                return
            await asyncio.sleep(WATCH_SECONDS)


def _tell(standings: Sequence[Standing], *, alone: bool, as_json: bool) -> None:
    if as_json:
        told = [standing.as_dict() for standing in standings]
        print(json.dumps(told[0] if alone else told), flush=True)
    elif alone:
        print(_one(standings[0]), flush=True)
    else:
        print(_table(standings), flush=True)


def _table(standings: Sequence[Standing]) -> str:
    from services.cli.places import SHORT
    from shared.printing import printable

    if not standings:
        return "no submissions"
    lines = [
        f"{'id':<{SHORT}}  {'submitted (UTC)':<16}  {'state':<15}{'ended':>11}{'of':>11}"
        f"{'failed':>9}{'img/s':>8}{'left':>12}  name"
    ]
    for standing in standings:
        one = standing.progress
        rate = f"{standing.rate:.1f}" if standing.rate else ""
        lines.append(
            f"{one.id[:SHORT]}  {one.created_at:%Y-%m-%d %H:%M}  {standing.state:<15}"
            f"{one.ended:>11,}{one.named:>11,}{one.failed:>9,}{rate:>8}{standing.left:>12}  "
            f"{printable(one.name)}"
        )
    return "\n".join(lines)


def _one(standing: Standing) -> str:
    from shared.printing import printable

    one = standing.progress
    skipped = f", {one.skipped:,} of them before it named them" if one.skipped else ""
    sources = f", {one.parts_open:,} sources still to be read" if one.parts_open else ""
    lines = [
        ("submission", one.id),
        ("name", one.name),
        ("submitted", f"{one.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("state", standing.state),
        ("named", f"{one.named:,} images{sources}"),
        ("ended", f"{one.ended:,}{skipped}"),
        ("queued", f"{one.queued:,}"),
        ("faces", f"{one.faces:,} in {one.with_faces:,} images; none in {one.no_faces:,}"),
        ("failed", f"{one.failed:,}"),
    ]
    if standing.rate:
        left = f", {standing.left} left" if standing.left else ""
        lines.append(("pace", f"{standing.rate:.1f} img/s{left}"))
    lines += [("not read", f"{part.uri}: {part.reason}") for part in one.failed_parts]
    return "\n".join(f"{what + ':':<12}{printable(value)}" for what, value in lines)


async def _cancel(
    submission: str, out: Path | None, database: str | None, *, as_json: bool
) -> None:
    from services.cli.places import opened_catalog, whole_id

    async with opened_catalog(out, database) as catalog:
        one = await whole_id(catalog, submission)
        before = await catalog.reader.submission(one)
        over = before.complete
        number = 0 if over else await catalog.curator.cancel(one)
        after = await catalog.reader.submission(one)
    if as_json:
        told = {"submission": one, "cancelled": number, "queued": after.queued, "was_over": over}
        print(json.dumps(told))
        return
    if over:
        print(f"{one} was {'cancelled' if before.cancelled else 'complete'} already")
        return
    print(f"{number:,} images cancelled; {after.ended - number:,} had ended before")
    if after.queued:
        print(f"{after.queued:,} stay queued: other submissions wait for them too")

"""`faces status`: where submissions stand, and how long they will take."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Self

import typer

from services.cli.deployment import SHORT_ID, Place, deployment, whole_id
from services.cli.options.common import AsJson, DatabaseUrl, Out
from shared.printing import count, duration, printable

if TYPE_CHECKING:
    from shared.catalog import Catalog, SubmissionStatus

WATCH_SECONDS = 1.0


def command(
    submission: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="A submission; the start of its id will do."),
    ] = None,
    out: Out = None,
    database: DatabaseUrl = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1000, help="Show at most this many, newest first.")
    ] = 20,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew each second until all are complete.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say how far submissions are, and how long they will take at the pace of the last minute.

    Example: `faces status --database postgresql://faces@10.0.0.6/faces`

    Example, one of them until it is complete: `faces status 3f2a -o out --watch`
    """
    place = Place(out=out, database=database)
    asyncio.run(_status(submission, place, limit, watch=watch, as_json=as_json))


@dataclass(frozen=True)
class Outlook:
    """How a submission stands, and how it moves: images a second, and seconds that are left."""

    progress: "SubmissionStatus"
    rate: float
    eta: float | None

    @classmethod
    async def of(cls, catalog: "Catalog", progress: "SubmissionStatus") -> Self:
        """By what ended lately; an estimate needs every source to be expanded."""
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
    def told(self) -> str:
        """The state, and what keeps it from being as good as it sounds."""
        refused = self.progress.refused
        return f"{self.state}, {count(refused, 'source')} refused" if refused else self.state

    @property
    def left(self) -> str:
        """The time that is left, as people say it."""
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
    submission: str | None, place: Place, limit: int, *, watch: bool, as_json: bool
) -> None:
    async with deployment(place) as opened:
        catalog = await opened.catalog()
        one = await whole_id(catalog, submission) if submission else None
        while True:
            found = (
                [await catalog.reader.submission(one)]
                if one
                else await catalog.reader.submissions(limit)
            )
            outlooks = [await Outlook.of(catalog, progress) for progress in found]
            if watch and sys.stdout.isatty() and not as_json:
                print("\x1b[H\x1b[2J", end="")  # home, and clear
            _tell(outlooks, alone=one is not None, as_json=as_json)
            if not watch or all(progress.complete for progress in found):
                return
            await asyncio.sleep(WATCH_SECONDS)


def _tell(outlooks: Sequence[Outlook], *, alone: bool, as_json: bool) -> None:
    if as_json:
        told = [outlook.as_dict() for outlook in outlooks]
        print(json.dumps(told[0] if alone else told), flush=True)
    elif alone:
        print(_one(outlooks[0]), flush=True)
    else:
        print(_table(outlooks), flush=True)


def _table(outlooks: Sequence[Outlook]) -> str:
    if not outlooks:
        return "no submissions"
    wide = max(15, *(len(outlook.told) for outlook in outlooks))
    lines = [
        f"{'id':<{SHORT_ID}}  {'submitted (UTC)':<16}  {'state':<{wide}}{'ended':>11}{'of':>11}"
        f"{'failed':>9}{'img/s':>8}{'left':>12}  name"
    ]
    for outlook in outlooks:
        one = outlook.progress
        rate = f"{outlook.rate:.1f}" if outlook.rate else ""
        lines.append(
            f"{one.id[:SHORT_ID]}  {one.created_at:%Y-%m-%d %H:%M}  {outlook.told:<{wide}}"
            f"{one.ended:>11,}{one.named:>11,}{one.failed:>9,}{rate:>8}{outlook.left:>12}  "
            f"{printable(one.name)}"
        )
    return "\n".join(lines)


def _one(outlook: Outlook) -> str:
    from services.cli.passed_over import passed_over_line

    one = outlook.progress
    skipped = f", {one.skipped:,} of them before they were submitted" if one.skipped else ""
    sources = f", {count(one.parts_open, 'source')} still to be read" if one.parts_open else ""
    lines = [
        ("submission", one.id),
        ("name", one.name),
        ("submitted", f"{one.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("state", outlook.told),
        *([("not taken", told)] if (told := passed_over_line(one.passed_over)) else []),
        ("named", f"{one.named:,} images{sources}"),
        ("ended", f"{one.ended:,}{skipped}"),
        ("queued", f"{one.queued:,}"),
        ("faces", f"{one.faces:,} in {one.with_faces:,} images; none in {one.no_faces:,}"),
        ("failed", f"{one.failed:,}"),
    ]
    if outlook.rate:
        left = f", {outlook.left} left" if outlook.left else ""
        lines.append(("pace", f"{outlook.rate:.1f} img/s{left}"))
    lines += [("not read", f"{part.uri}: {part.reason}") for part in one.failed_parts]
    if (more := one.refused - len(one.failed_parts)) > 0:
        lines.append(("not read", f"{more:,} more"))
    return "\n".join(f"{what + ':':<12}{printable(value)}" for what, value in lines)

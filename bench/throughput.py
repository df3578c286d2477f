"""Images a second of the whole suite, beside the limit of the machine and what people use.

    python -m bench.throughput [--images FOLDER] [--rounds 3] [--seconds 20] [--only NAME]...

Every contender is started, warmed by passes over the pictures (while its memory is watched), timed
for a round, and ended, in turn; the figure is the median of the rounds. How many times as fast the
suite is, is the median of what each round says: a shared machine has faster and slower minutes, and
what is compared stands side by side in each round. A round repeats the pictures under other names
until it lasts long enough. Writes bench/results.json and bench/results.svg with --save.
"""

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import chart
from bench.contenders import CONTENDERS, FACES, Absent, Contender, Running, running
from bench.measuring import median, note, spread, table
from bench.peers.driver import Round
from bench.scoring import Score, labels_of, score

SHARED = Path(__file__).parents[2] / "shared"
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
MIB = 1 << 20


@dataclass
class Measured:
    """What became of one contender. `copies` is set by its first warm-up."""

    contender: Contender
    rates: list[float] = field(default_factory=list)
    copies: int = 0
    faces: int = 0
    peak_bytes: int = 0
    score: Score | None = None
    absent: str = ""


@dataclass(frozen=True)
class Plan:
    """What to measure with."""

    pictures: Sequence[Path]
    labelled: Path | None
    models: Path
    rounds: int
    seconds: float
    workers: int


def pictures_in(folder: Path, most: int) -> list[Path]:
    """The pictures of a folder, `most` at most, taken evenly from all."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    if not found:
        raise SystemExit(f"no pictures in {folder}; name a folder with --images (make: IMAGES=)")
    step = max(1.0, len(found) / most)
    return [found[int(n * step)] for n in range(min(most, len(found)))]


def one_round(plan: Plan, measured: Measured, room: Path) -> None:
    """Start, warm, time, end."""
    first = not measured.copies
    with running(measured.contender, plan.models, plan.workers, room) as contender:
        warm = contender.round(plan.pictures, 1, tell=first)
        if first:
            measured.faces = warm.faces
            measured.score = _scored(plan, contender)
            again = contender.round(plan.pictures, 2)  # the first pass also warmed the pages
            measured.copies = copies_for(plan.seconds, 2, again)
        timed = contender.round(plan.pictures, measured.copies, watch=False)
        measured.copies = max(measured.copies, copies_for(plan.seconds, measured.copies, timed))
        measured.rates.append(timed.images / timed.seconds)
        measured.peak_bytes = max(measured.peak_bytes, contender.peak.bytes)
    say(f"  {measured.contender.name}: {measured.rates[-1]:.2f} img/s, {timed.seconds:.1f} s")


def copies_for(seconds: float, copies: int, done: Round) -> int:
    """How many copies make a round so long, and a fifth longer, by a round that was done."""
    return math.ceil(1.2 * seconds * copies / max(done.seconds, 1e-3))


def _scored(plan: Plan, contender: Running) -> Score | None:
    if plan.labelled is None:
        return None
    labels = labels_of(plan.labelled / "labels.json")
    pictures = [path for path in sorted(plan.labelled.iterdir()) if path.name in labels]
    told = contender.round(pictures, 1, tell=True).boxes
    boxes = {Path(name).name.partition("-")[2]: found for name, found in told.items()}
    return score(boxes, labels)


def measure(plan: Plan, contenders: Sequence[Contender], room: Path) -> list[Measured]:
    """All rounds, interleaved. Who cannot be measured is said once and left out."""
    all_measured = [Measured(contender) for contender in contenders]
    for number in range(plan.rounds):
        say(f"round {number + 1} of {plan.rounds}")
        for measured in all_measured:
            if measured.absent:
                continue
            try:
                one_round(plan, measured, room)
            except (Absent, RuntimeError, OSError) as error:
                measured.absent = str(error)
                say(f"  {measured.contender.name}: left out: {error}")
    return all_measured


def rows_of(measured: Sequence[Measured]) -> list[dict[str, object]]:
    """What is reported of each contender that was measured, `ratio` being faces over it."""
    faces = next((one.rates for one in measured if one.contender.name == FACES), [])
    return [
        {
            "name": one.contender.name,
            "title": one.contender.title,
            "images_per_second": round(median(one.rates), 2),
            "rates": [round(rate, 2) for rate in one.rates],
            "spread": round(spread(one.rates), 3),
            "ratio": ratio(faces, one.rates),
            "faces_found": one.faces,
            "labelled_found": one.score.found if one.score else None,
            "labelled_others": one.score.others if one.score else None,
            "peak_memory_mib": round(one.peak_bytes / MIB),
            "rounds": len(one.rates),
            "images_a_round": one.copies,
        }
        for one in measured
        if one.rates
    ]


def ratio(faces: Sequence[float], other: Sequence[float]) -> float | None:
    """How many times as fast the suite is, by the rounds that both were in; None if none was."""
    rounds = [ours / theirs for ours, theirs in zip(faces, other, strict=False)]
    return round(median(rounds), 3) if rounds else None


def shown(rows: Sequence[dict[str, object]], labelled: int) -> str:
    """The table."""
    head = ("", "img/s", "spread", "faces is", "faces found", "labelled", "others", "memory")
    cells = [
        (
            str(row["title"]),
            f"{row['images_per_second']:.1f}",
            f"{row['spread']:.0%}",
            f"{row['ratio']:.2f} x" if row["ratio"] else "",
            str(row["faces_found"]),
            f"{row['labelled_found']}/{labelled}" if row["labelled_found"] is not None else "",
            str(row["labelled_others"]) if row["labelled_others"] is not None else "",
            f"{row['peak_memory_mib']} MiB",
        )
        for row in rows
    ]
    return table(head, cells)


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, default=SHARED / "data" / "photos")
    parser.add_argument("--labelled", type=Path, default=SHARED / "data" / "voc-faces-12")
    parser.add_argument("--models", type=Path, default=SHARED / "models")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="least length of a round")
    parser.add_argument("--sample", type=int, default=10_000, help="take only so many pictures")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", action="append", choices=[one.name for one in CONTENDERS])
    parser.add_argument("--save", action="store_true", help="write results.json and results.svg")
    given = parser.parse_args(arguments)
    labelled = given.labelled if (given.labelled / "labels.json").is_file() else None
    plan = Plan(
        pictures_in(given.images, given.sample),
        labelled,
        given.models.absolute(),
        given.rounds,
        given.seconds,
        given.workers,
    )
    chosen = [one for one in CONTENDERS if not given.only or one.name in given.only]
    with tempfile.TemporaryDirectory(prefix="faces-bench-") as room:
        measured = measure(plan, chosen, Path(room))
    rows = rows_of(measured)
    faces_labelled = 0
    if labelled:
        faces_labelled = sum(map(len, labels_of(labelled / "labels.json").values()))
    print(shown(rows, faces_labelled))
    for one in measured:
        if one.absent:
            print(f"left out: {one.contender.title}: {one.absent}")
    if given.save:
        note(
            "throughput",
            {
                "pictures": len(plan.pictures),
                "workers": plan.workers,
                "labelled_faces": faces_labelled,
                "contenders": rows,
                "left_out": {one.contender.name: one.absent for one in measured if one.absent},
            },
        )
        bars = [(str(row["title"]), float(str(row["images_per_second"]))) for row in rows]
        chart.write(
            bars, "images a second, two workers" if plan.workers == 2 else "images a second"
        )


if __name__ == "__main__":
    main()

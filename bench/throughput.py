"""Images a second of the whole suite, beside the limit of the machine and what people use.

    python -m bench.throughput [--images FOLDER] [--rounds 3] [--seconds 20] [--only NAME]...

In each round every contender in turn is started, warmed by passes over the pictures (while its
memory is watched), timed, and ended; the figure is the median of the rounds. A round repeats the
pictures under other names until it lasts long enough. "faces is" is the median of the ratios within
each round: a shared machine has faster and slower minutes, which a round's neighbours share. --save
writes bench/results.json and bench/results.svg.
"""

import argparse
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import chart
from bench.contenders import (
    CONTENDERS,
    FACES,
    Absent,
    Contender,
    Running,
    original_name,
    running,
)
from bench.material import (
    Weights,
    chosen_pictures,
    chosen_weights,
    fixed_yunet,
    labelled_folder,
    pictures_below,
)
from bench.measuring import median, note, say, spread, table
from bench.peers.driver import Round
from bench.scoring import Score, labels_of, score

MIB = 1 << 20


@dataclass
class Measured:
    """What one contender did. `copies` of the pictures make a round; its first warm-up says how
    many. `unread` counts the pictures that failed in one pass."""

    contender: Contender
    rates: list[float] = field(default_factory=list)
    copies: int = 0
    faces: int = 0
    unread: int = 0
    peak_bytes: int = 0
    score: Score | None = None
    absent: str = ""


@dataclass(frozen=True)
class Plan:
    """What to measure with."""

    pictures: Sequence[Path]
    labelled: Path | None
    weights: Weights
    yunet: Path | None
    rounds: int
    seconds: float
    workers: int


def one_round(plan: Plan, measured: Measured, scratch: Path) -> None:
    """Start, warm, time, end."""
    first = not measured.copies
    one = measured.contender
    with running(one, plan.weights, plan.yunet, plan.workers, scratch) as contender:
        warm = contender.round(plan.pictures, 1, tell=first)
        if first:
            measured.faces, measured.unread = warm.faces, warm.failed
            measured.score = _scored(plan, contender)
            again = contender.round(plan.pictures, 2)  # the first pass also warmed the pages
            measured.copies = copies_for(plan.seconds, 2, again)
        timed = contender.round(plan.pictures, measured.copies, watch=False)
        measured.copies = max(measured.copies, copies_for(plan.seconds, measured.copies, timed))
        measured.rates.append(timed.images / timed.seconds)
        measured.peak_bytes = max(measured.peak_bytes, contender.peak.bytes)
    say(f"  {one.name}: {measured.rates[-1]:.2f} img/s, {timed.seconds:.1f} s")


def copies_for(seconds: float, copies: int, done: Round) -> int:
    """How many copies make a round a fifth longer than `seconds`, at the pace of one before."""
    return math.ceil(1.2 * seconds * copies / max(done.seconds, 1e-3))


def _scored(plan: Plan, contender: Running) -> Score | None:
    if plan.labelled is None:
        return None
    labels = labels_of(plan.labelled / "labels.json")
    pictures = [path for path in pictures_below(plan.labelled) if path.name in labels]
    told = contender.round(pictures, 1, tell=True).boxes
    boxes = {original_name(name): found for name, found in told.items()}
    return score(boxes, labels)


def measure(plan: Plan, contenders: Sequence[Contender], scratch: Path) -> list[Measured]:
    """All rounds, interleaved. A contender that fails is left out from then on, with the reason."""
    all_measured = [Measured(contender) for contender in contenders]
    for number in range(plan.rounds):
        say(f"round {number + 1} of {plan.rounds}")
        for measured in all_measured:
            if measured.absent:
                continue
            try:
                one_round(plan, measured, scratch)
            except (Absent, RuntimeError, OSError) as error:
                measured.absent = str(error)
                say(f"  {measured.contender.name}: left out: {error}")
    return all_measured


def rows_of(measured: Sequence[Measured]) -> list[dict[str, object]]:
    """The figures of each contender that was measured; `ratio` is the suite's pace over its."""
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


def remarks(measured: Sequence[Measured]) -> Iterator[str]:
    """What the table does not show: who was left out and why, and pictures that failed."""
    for one in measured:
        if one.absent:
            yield f"left out: {one.contender.title}: {one.absent}"
        elif one.unread:
            yield f"{one.contender.title}: pictures that could not be read: {one.unread}"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m bench.throughput", description=(__doc__ or "").splitlines()[0]
    )
    made.add_argument("--images", type=Path, help="folder of pictures to measure on")
    made.add_argument(
        "--labelled", type=Path, help="folder with a labels.json, to score what is found"
    )
    made.add_argument("--models", type=Path, help="folder of model weights")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--seconds", type=float, default=20, help="least length of a round")
    made.add_argument("--sample", type=int, default=10_000, help="take at most this many pictures")
    made.add_argument("--workers", type=int, default=2, help="processes of each contender")
    made.add_argument("--only", action="append", choices=[one.name for one in CONTENDERS])
    made.add_argument("--save", action="store_true", help="write results.json and results.svg")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report.

    Raises:
        SystemExit: a model or pictures are missing, or nothing could be measured.
    """
    given = parser().parse_args(arguments)
    chosen = [one for one in CONTENDERS if not given.only or one.name in given.only]
    weights = chosen_weights(given.models)
    with tempfile.TemporaryDirectory(prefix="faces-bench-") as folder:
        scratch = Path(folder)
        plan = Plan(
            chosen_pictures(given.images, given.sample, scratch),
            labelled_folder(given.labelled, "voc-faces-12"),
            weights,
            fixed_yunet(given.models),
            given.rounds,
            given.seconds,
            given.workers,
        )
        say(f"{len(plan.pictures)} pictures, model {plan.weights.model}")
        if plan.labelled is None:
            say(
                "no labelled pictures in ../shared: what is found is not scored (--labelled FOLDER)"
            )
        measured = measure(plan, chosen, scratch)
    rows = rows_of(measured)
    if not rows:
        raise SystemExit("\n".join(["nothing could be measured", *remarks(measured)]))
    faces_labelled = 0
    if plan.labelled:
        faces_labelled = sum(map(len, labels_of(plan.labelled / "labels.json").values()))
    print(shown(rows, faces_labelled))
    for remark in remarks(measured):
        print(remark)
    if given.save:
        save(plan, rows, faces_labelled, measured)


def save(
    plan: Plan,
    rows: Sequence[dict[str, object]],
    faces_labelled: int,
    measured: Sequence[Measured],
) -> None:
    """Write results.json and results.svg."""
    report = {
        "pictures": len(plan.pictures),
        "model": plan.weights.model,
        "workers": plan.workers,
        "labelled_faces": faces_labelled,
        "contenders": rows,
        "left_out": {one.contender.name: one.absent for one in measured if one.absent},
    }
    note("throughput", report)
    bars = [(str(row["title"]), float(str(row["images_per_second"]))) for row in rows]
    chart.write(bars, "images a second, two workers" if plan.workers == 2 else "images a second")


if __name__ == "__main__":
    main()

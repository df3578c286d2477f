"""What a run tells at its end: one entry of `TOLD` a thing, for people and for programs.

A line is told only where there is something to say, and ends with the command that helps.
"""

import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.cli.local.course import Ending
from services.cli.local.plan import Plan
from services.cli.not_read import not_read_by_kind
from services.cli.passed_over import passed_over_line
from services.ingest.sources.walk import EXCLUDED, LINK, LINK_TO_PICTURE
from shared.printing import count, printable


@dataclass(frozen=True)
class Run:
    """A run that has ended; `out` is its OUT as it was typed."""

    plan: Plan
    ending: Ending
    out: Path

    @property
    def where(self) -> str:
        """The options that name this run's catalog to another command."""
        own = self.plan.settings.database_url.get_secret_value().startswith("sqlite:")
        return f"-o {shlex.quote(str(self.out))}" if own else "--database URL"

    def command(self, verb: str, *options: str) -> str:
        """What can be typed to do something about what this run tells."""
        return " ".join([program(), verb, *options])


@dataclass(frozen=True)
class Told:
    """One thing.

    Attributes:
        key: its name in `--json`.
        figure: its value there.
        line: the sentence for people; asked for only where the figure is not 0.
    """

    key: str
    figure: Callable[[Run], int]
    line: Callable[[Run], str]


def _number_skipped(run: Run) -> int:
    return run.ending.standing.skipped - run.ending.searched_again


def _skipped(run: Run) -> str:
    return f"{_number_skipped(run):,} were finished by an earlier run and not searched again"


def _searched_again(run: Run) -> str:
    number = count(run.ending.searched_again, "picture")
    return f"{number} searched again, since what an earlier run had drawn was gone or empty"


def _not_placed(run: Run) -> str:
    folder = shlex.quote(str(run.out / "annotated"))
    return "\n".join(
        f"{count(number, 'result')} not in {folder}, since {reason}; what was found of them is in "
        f"the catalog: {run.command('results', run.where)}"
        for reason, number in run.ending.placed.refused.items()
    )


def _renamed(run: Run) -> str:
    number = count(run.ending.placed.renamed, "result")
    folder = shlex.quote(str(run.out / "annotated"))
    return f"{number} under another name in {folder}, with its id, since theirs is refused there"


def _changed(run: Run) -> str:
    number = count(run.ending.placed.changed, "result")
    again = run.command("redo", "NAME", run.where)
    return f"{number} that others added to since, left as they are; what makes one anew: {again}"


def _uncovered(run: Run) -> str:
    number = count(run.ending.placed.uncovered, "result")
    return (
        f"{number} that hid faces replaced by those of this run, which show them; what puts one "
        f"back: the same run with the options of before"
    )


def _still_showing(run: Run) -> str:
    number = count(run.ending.still_showing, "picture")
    sweep = run.command("sweep", "--showing-faces", run.where)
    return f"{number} of earlier runs still show faces; what deletes them: {sweep}"


def _drawn_before_mend(run: Run) -> str:
    number = count(run.ending.drawn_before_mend, "picture")
    again = run.command("redo", "--drawn-before-mend", run.where)
    return f"{number} drawn before a mend of drawing or hiding; what draws them again: {again}"


def _cut(run: Run) -> str:
    files = count(run.ending.cut, "file")
    listed = run.command("results", run.where, "--cut")
    far = "it goes" if run.ending.cut == 1 else "they go"
    return f"{files} cut short, searched as far as {far}; which: {listed}"


def _links(run: Run) -> str:
    files, folders = _passed_over(run, LINK_TO_PICTURE), _passed_over(run, LINK)
    what = " and ".join(
        f"{count(number, 'link')} to {kind}"
        for number, kind in ((files, "pictures (failed: not_allowed)"), (folders, "folders"))
        if number
    )
    first = run.ending.standing.passed_over[LINK].example if folders else ""
    named = f" ({printable(first)})" if first else ""
    remedy = (
        "add what they lead to to FACES_SOURCE_ROOTS"
        if run.plan.follow_links
        else "--follow-links searches what they lead to"
    )
    return f"not followed: {what}{named}, out of what was given; {remedy}"


def _not_read(run: Run) -> str:
    kinds = not_read_by_kind(run.ending.not_read)
    return f"not read: {kinds}; --exclude '*.EXTENSION' leaves them out"


def _not_copied(run: Run) -> int:
    recipe = run.plan.recipe
    hidden = recipe.mode.hides and not recipe.copy_rest
    return run.ending.standing.no_faces if hidden else 0


def _rest(run: Run) -> str:
    number = count(_not_copied(run), "picture")
    return f"not in OUT/annotated: {number} without faces; --copy-rest puts them there too"


def _failed(run: Run) -> str:
    return f"what failed, and why: {run.command('results', run.where, '--status', 'failed')}"


def _passed_over(run: Run, kind: str) -> int:
    passed = run.ending.standing.passed_over.get(kind)
    return passed.count if passed else 0


def _by_rule(run: Run) -> int:
    own = (LINK, LINK_TO_PICTURE, EXCLUDED)
    return sum(
        one.count for kind, one in run.ending.standing.passed_over.items() if kind not in own
    )


def _excluded(run: Run) -> str:
    return passed_over_line({EXCLUDED: run.ending.standing.passed_over[EXCLUDED]})


def _passed_over_by_rule(run: Run) -> str:
    passed = run.ending.standing.passed_over
    return passed_over_line({kind: one for kind, one in passed.items() if kind != EXCLUDED})


TOLD = (
    Told("skipped", _number_skipped, _skipped),
    Told("searched_again", lambda run: run.ending.searched_again, _searched_again),
    Told("not_placed", lambda run: sum(run.ending.placed.refused.values()), _not_placed),
    Told("renamed", lambda run: run.ending.placed.renamed, _renamed),
    Told("changed_by_others", lambda run: run.ending.placed.changed, _changed),
    Told("uncovered", lambda run: run.ending.placed.uncovered, _uncovered),
    Told("still_showing", lambda run: run.ending.still_showing, _still_showing),
    Told("drawn_before_mend", lambda run: run.ending.drawn_before_mend, _drawn_before_mend),
    Told(
        "links_refused",
        lambda run: _passed_over(run, LINK) + _passed_over(run, LINK_TO_PICTURE),
        _links,
    ),
    Told("excluded", lambda run: _passed_over(run, EXCLUDED), _excluded),
    Told("passed_over", _by_rule, _passed_over_by_rule),
    Told("not_read", lambda run: sum(run.ending.not_read.values()), _not_read),
    Told("cut", lambda run: run.ending.cut, _cut),
    Told("not_copied", _not_copied, _rest),
    Told("failed", lambda run: run.ending.standing.failed, _failed),
)


def figures(run: Run) -> dict[str, int | float]:
    """For programs: `faces run --json`."""
    standing = run.ending.standing
    return {
        "images": standing.ended,
        "faces_images": standing.with_faces,
        "no_faces": standing.no_faces,
        "faces": standing.faces,
        "seconds": round(run.ending.seconds, 3),
        "images_per_second": round(run.ending.rate, 3),
        **{told.key: told.figure(run) for told in TOLD},
    }


def lines(run: Run) -> list[str]:
    """For people, before the last line."""
    return [told.line(run) for told in TOLD if told.figure(run)]


def program() -> str:
    """How this command was started, so that what we print can be typed."""
    started = sys.argv[0]
    return (
        "faces" if not started.endswith("/faces") or shutil.which("faces") == started else started
    )

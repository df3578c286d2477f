"""Generations under everything that may happen, in any order, against a model of a few lines.

Submissions, results on time and late, redo, cancel and forget come in every order; after each
step the rows and every submission's counters must be what the model says.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from shared.catalog import Catalog, Filter, QueuedImage, Redo
from shared.messages import Status, new_token, now
from shared.reasons import Reason
from tests.support.catalogs import RECIPE, failure, nothing_found, result_of, run_sql, step_of

IMAGES = [QueuedImage(f"{n:032x}", f"{n}.jpg", f"file:///{n}.jpg") for n in range(3)]
SUBMISSIONS = ["a" * 32, "b" * 32]
KINDS = {Status.FACES: result_of, Status.NO_FACES: nothing_found, Status.FAILED: failure}
TABLES = (
    "passed_over, pages, found_faces, memberships, images, parts, submissions, forgotten, recipes"
)

which = st.sampled_from(range(len(IMAGES)))
some = st.lists(which, min_size=1, max_size=3, unique=True)
submitted = st.sampled_from(SUBMISSIONS)


@dataclass
class Row:
    """What the model keeps of a row."""

    generation: int
    status: Status = Status.QUEUED
    cancelled: bool = False


class Ledger(RuleBasedStateMachine):
    """The catalog beside its model."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.rows: dict[int, Row] = {}
        self.members: dict[str, set[int]] = {}
        self.created: dict[str, datetime] = {}
        self.cancelled: set[str] = set()
        self.tombstones: dict[int, tuple[int, datetime]] = {}

    def run(self, call: Awaitable[Any]) -> Any:  # Any: whatever the call answers
        async def wait() -> Any:
            return await call

        return self.runner.run(wait())

    @initialize()
    def begin(self) -> None:
        url = self.url
        if not url:
            self.folder = tempfile.TemporaryDirectory()
            url = f"sqlite:///{self.folder.name}/faces.db"
        self.catalog: Catalog = self.run(Catalog.open(url))
        if self.url:
            self.run(run_sql(self.url, f"TRUNCATE {TABLES}"))

    def teardown(self) -> None:
        self.run(self.catalog.close())
        self.runner.close()
        if not self.url:
            self.folder.cleanup()

    @rule(submission=submitted, images=some)
    def submit(self, submission: str, images: list[int]) -> None:
        at = self.created.setdefault(submission, now())
        step = step_of([IMAGES[n] for n in images], submission, at=at)
        decisions = self.run(self.catalog.ledger.queue(step))
        assert self.run(self.catalog.ledger.queue(step)) == decisions
        members = self.members.setdefault(submission, set())
        for n, decision in zip(images, decisions, strict=True):
            generation, forgotten_at = self.tombstones.get(n, (0, None))
            barred = forgotten_at is not None and forgotten_at >= at
            if submission in self.cancelled or barred:
                assert not decision.send
                continue
            row = self.rows.setdefault(n, Row(generation + 1))
            if row.cancelled:
                row = self.rows[n] = Row(row.generation + 1)
            members.add(n)
            assert (decision.generation, decision.send) == (
                row.generation,
                row.status is Status.QUEUED,
            )

    @rule(image=which, back=st.integers(-1, 2), status=st.sampled_from(sorted(KINDS)))
    def result_arrives(self, image: int, back: int, status: Status) -> None:
        row = self.rows.get(image)
        known = row.generation if row else self.tombstones.get(image, (0, None))[0]
        generation = known - back
        if not known or generation < 1:
            return
        result = KINDS[status](IMAGES[image], generation)
        report = self.run(self.catalog.ledger.commit([result, result]))
        wins = row is not None and row.status is Status.QUEUED and back == 0
        assert report.won == wins
        if row is not None and wins:
            row.status = status

    @rule(image=which)
    def redo(self, image: int) -> None:
        submission = new_token()
        request = Redo(submission, "again", now(), Filter(image=IMAGES[image].id))
        first = self.run(self.catalog.curator.redo(request))
        assert self.run(self.catalog.curator.redo(request)) == first
        self.created[submission] = request.submitted_at
        self.members[submission] = set()
        row = self.rows.get(image)
        if row is not None and row.status is not Status.QUEUED:
            self.rows[image] = Row(row.generation + 1)
            self.members[submission].add(image)
        assert [one.generation for one in first.images] == [
            self.rows[n].generation for n in self.members[submission]
        ]

    @rule(submission=submitted)
    def cancel(self, submission: str) -> None:
        if submission not in self.created:
            return
        self.run(self.catalog.curator.cancel(submission))
        self.cancelled.add(submission)
        for n in self.members[submission]:
            wanted = any(
                n in members
                for other, members in self.members.items()
                if other not in self.cancelled
            )
            if self.rows[n].status is Status.QUEUED and not wanted:
                self.rows[n].status, self.rows[n].cancelled = Status.FAILED, True

    @rule(image=which)
    def forget(self, image: int) -> None:
        self.run(self.catalog.curator.forget_some(Filter(image=IMAGES[image].id)))
        row = self.rows.pop(image, None)
        if row is not None:
            self.tombstones[image] = (row.generation, now())
        for members in self.members.values():
            members.discard(image)

    @invariant()
    def rows_are_those_of_the_model(self) -> None:
        found = {int(row.id, 16): row for row in self.run(self.catalog.reader.page(Filter()))}
        assert {
            n: (row.generation, row.status, row.code == Reason.CANCELLED)
            for n, row in found.items()
        } == {n: (row.generation, row.status, row.cancelled) for n, row in self.rows.items()}
        for row in found.values():
            assert len(row.faces) == row.face_count == (2 if row.status is Status.FACES else 0)
            assert row.recipe == RECIPE.id

    @invariant()
    def counters_are_what_counting_gives(self) -> None:
        for submission, members in self.members.items():
            progress = self.run(self.catalog.reader.submission(submission))
            counted = Counter(self.rows[n].status for n in members)
            assert progress.named == len(members)
            assert progress.queued == counted[Status.QUEUED]
            assert progress.with_faces == counted[Status.FACES]
            assert progress.faces == 2 * counted[Status.FACES]
            assert progress.no_faces == counted[Status.NO_FACES]
            assert progress.failed == counted[Status.FAILED]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "examples"), [("sqlite", 30), ("postgresql", 12)])
def test_every_row_is_of_its_newest_generation_and_counted_once(
    request: pytest.FixtureRequest, kind: str, examples: int
) -> None:
    url = "" if kind == "sqlite" else request.getfixturevalue("empty_postgres")
    machine = type("LedgerHere", (Ledger,), {"url": url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

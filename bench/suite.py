"""The whole suite in one process, as `faces run` has it, kept warm for several rounds.

Embedded Valkey with its append-only file, SQLite, stored pictures and the mirrored tree included;
each round is one submission, timed from its first message to its last committed row. A contender
of `bench.throughput`.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.peers.driver import WORKERS, Round, contend, serve
from services.cli.local.course import FOLLOW_SECONDS, pause_before_next_look
from services.cli.local.embedded import EmbeddedValkey
from services.cli.local.plan import Plan, run_settings
from services.cli.local.stages import Stages
from services.cli.options.recipe import make_recipe
from services.cli.outdir.filling import Filling
from services.cli.sending.parts import Submission
from shared.catalog import Catalog, Filter, SubmissionStatus
from shared.errors import FacesError
from shared.logs import configure_logs
from shared.streams.client import connect
from shared.streams.producer import Producer
from shared.urls import sqlite_url

LAST = 4
LAST_PAUSE_SECONDS = 0.02
"""When so few are left the ledger is read more often than `faces run` does: what is timed is when
the last row is committed, not when a person is told."""


@dataclass
class Suite:
    """Three running services, and what a submission needs."""

    plan: Plan
    catalog: Catalog
    producer: Producer

    async def submit(self, folder: Path, *, follow: bool) -> str:
        """Submit the pictures of one folder by name; returns the submission's id.

        What is to be followed is entered into the catalog first, as `faces run` does; `faces
        submit` leaves that to ingest.
        """
        submission = Submission(self.producer, self.plan.recipe, folder.name)
        if follow:
            moment = submission.created_at
            await self.catalog.ledger.open_submission(submission.id, submission.name, moment)
        await submission.add_path(folder)
        await submission.close()
        return submission.id

    async def until_complete(self, submission: str, filling: Filling) -> SubmissionStatus:
        """Follow a submission to its end as `faces run` does, looking as often.

        Raises:
            FacesError: all of its images failed, or a folder could not be read.
        """
        follow_at = time.monotonic() + FOLLOW_SECONDS
        while not (standing := await self.catalog.reader.submission(submission)).complete:
            if time.monotonic() >= follow_at:
                await filling.follow()
                follow_at = time.monotonic() + FOLLOW_SECONDS
            last = standing.sealed and standing.queued <= LAST
            await asyncio.sleep(LAST_PAUSE_SECONDS if last else pause_before_next_look(standing))
        if standing.failed_parts or standing.failed == standing.ended:
            raise FacesError(f"{standing.failed} of {standing.ended} images failed")
        return standing


@asynccontextmanager
async def suite(out: Path, workers: int) -> AsyncIterator[Suite]:
    """A suite whose slots are ready; drained at the end of the block."""
    out.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - before anything runs
    database = sqlite_url(out / "faces.db")
    settings, _ = run_settings([out], out, None, database, None, workers, False)
    settings = settings.model_copy(update={"source_roots": (Path("/"),)})  # folders come later
    plan = Plan((out,), out, make_recipe(settings.model, {}), settings, True, "bench")
    valkey = EmbeddedValkey(plan.private)
    try:
        valkey.start()
        plan = plan.on_server(valkey.url)
        configure_logs(plan.settings)
        await valkey.ready()
        client = connect(plan.settings.redis_url)
        catalog = await Catalog.open(plan.settings.database_url.get_secret_value())
        async with asyncio.TaskGroup() as tasks:
            stages = Stages(plan.settings, tasks)
            await stages.opened()
            yield Suite(plan, catalog, Producer(client, plan.settings))
            await stages.drain(_nothing_left)
        await catalog.close()
        await client.aclose()
    finally:
        valkey.stop()


async def _nothing_left() -> bool:
    return True


async def one_round(running: Suite, folder: Path) -> Round:
    """One folder, from its submission to its last committed row."""
    began = time.perf_counter()
    submission = await running.submit(folder, follow=True)
    filling = Filling(running.plan, running.catalog, submission)
    try:
        standing = await running.until_complete(submission, filling)
        seconds = time.perf_counter() - began
        await filling.follow()
    finally:
        filling.close()
    return Round(seconds, standing.ended, standing.faces, failed=standing.failed)


async def boxes_of(running: Suite, pictures: list[Path]) -> dict[str, list[list[float]]]:
    """Boxes by file, read from the catalog."""
    boxes: dict[str, list[list[float]]] = {}
    names = {path.name: str(path) for path in pictures}
    async for row in running.catalog.reader.results(Filter()):
        if row.name in names:
            boxes[names[row.name]] = [[face.x, face.y, face.w, face.h] for face in row.faces]
    return boxes


async def serve_rounds(out: Path) -> None:
    """Answer rounds; each has a folder of its own, so that no picture is known already."""
    loop = asyncio.get_running_loop()
    async with suite(out, WORKERS) as running:

        async def answer(pictures: list[Path], tell: bool) -> Round:
            done = await one_round(running, pictures[0].parent)
            if tell:
                done.boxes = await boxes_of(running, pictures)
            return done

        def work(pictures: list[Path], _: Path, tell: bool) -> Round:
            return asyncio.run_coroutine_threadsafe(answer(pictures, tell), loop).result()

        await asyncio.to_thread(serve, work)


def main() -> None:
    """Serve rounds in the folder that the measurement deletes in the end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_rounds(Path(os.environ["BENCH_FOLDER"]) / "suite"))


if __name__ == "__main__":
    contend(main)

"""After Redis lost its memory: `faces submit --missing` hands on what was lost, nothing twice."""

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from services.cli.sending.parts import Submission
from services.ingest.service import open_stage as open_ingest
from services.writer.service import open_stage as open_writer
from shared.catalog import Catalog, Filter, ImageRow
from shared.health import Health
from shared.messages import Status
from shared.reasons import Reason
from shared.streams.keys import IMAGES, SOURCES
from tests.support.faces_command import Faces
from tests.support.servers import RedisServer
from tests.support.stages import RECIPE, Running, Suite, image, pass_on, running, suite_on
from tests.support.waiting import wait_until


class Deployment:
    """A server, a folder of pictures, a catalog, and `faces` for them."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self.server = server
        self.pictures = folder / "pictures"
        self.pictures.mkdir()
        for number in range(20):
            (self.pictures / f"{number}.jpg").write_bytes(b"picture")
        self.settings = {
            "database_url": f"sqlite:///{folder}/faces.db",
            "objects_url": f"file://{folder}/objects",
            "source_roots": str(self.pictures),
        }
        self.faces = Faces(
            folder,
            FACES_REDIS_URL=server.url,
            FACES_DATABASE_URL=self.settings["database_url"],
        )

    async def submit(self, suite: Suite) -> tuple[str, str]:
        """Twenty pictures by reference and three sent along, all of them expanded."""
        named = Submission(suite.producer, RECIPE, "named")
        sent = Submission(suite.producer, RECIPE, "sent")
        async with open_ingest(suite.settings, Health()) as stage:
            ingest = Running(stage)
            await named.add_path(self.pictures)
            await sent.add_pictures([(f"sent-{n}.jpg", b"bytes %d" % n) for n in range(3)])
            await named.close()
            await sent.close()
            await wait_until(lambda: expanded(suite), "all are expanded")
            await ingest.drain()
        return named.id, sent.id

    def missing(self) -> dict[str, int]:
        done = self.faces("submit", "--missing", "--json")
        assert done.returncode in (0, 3), done.stderr
        told: dict[str, int] = json.loads(done.stdout)
        return told


async def wait_in_sources(suite: Suite) -> bool:
    return await suite.length(SOURCES) > 0


async def expanded(suite: Suite) -> bool:
    return await suite.length(IMAGES) == 23 and not await suite.length(SOURCES)


@pytest.fixture
def deployment(own_server: RedisServer, tmp_path: Path) -> Deployment:
    return Deployment(own_server, tmp_path)


async def test_flushall_while_running_and_resubmitting_completes_the_set(
    deployment: Deployment,
) -> None:
    async with AsyncExitStack() as o:
        suite = await o.enter_async_context(suite_on(deployment.server.url, **deployment.settings))
        named, sent = await deployment.submit(suite)
        catalog = await Catalog.open(deployment.settings["database_url"])
        o.push_async_callback(catalog.close)
        assert deployment.missing() == {"sent": 0, "lost": 0, "under_way": 23, "unexpanded": 0}

        await suite.client.flushall()

        assert deployment.missing() == {"sent": 20, "lost": 3, "under_way": 0, "unexpanded": 0}
        assert deployment.missing() == {"sent": 0, "lost": 0, "under_way": 23, "unexpanded": 0}
        stage = await o.enter_async_context(open_writer(suite.settings, Health()))
        o.push_async_callback(Running(stage).drain)
        async with running(suite, pass_on, batch=20):
            await wait_until(suite.all_streams_empty, "all have an end")
        rows: list[ImageRow] = [row async for row in catalog.reader.results(Filter())]
        assert {row.generation for row in rows} == {1}
        done = [row for row in rows if row.status is Status.NO_FACES]
        lost = [row for row in rows if row.status is Status.FAILED]
        assert (len(done), len(lost)) == (20, 3)
        assert {row.reason for row in lost} == {Reason.BYTES_LOST.meaning}
        assert (await catalog.reader.submission(named)).complete
        assert (await catalog.reader.submission(sent)).complete
        assert not await suite.client.exists(suite.keys.in_flight), "nothing is left"

        again = Submission(suite.producer, RECIPE, "again")
        await again.add_pictures([("sent-0.jpg", b"bytes 0")])
        async with open_ingest(suite.settings, Health()) as ingest:
            sending = Running(ingest)
            await wait_until(lambda: has_image(suite), "what was lost is done again when sent")
            await sending.drain()


async def has_image(suite: Suite) -> bool:
    return await suite.length(IMAGES) == 1


async def test_sources_lost_before_they_were_expanded_are_told(deployment: Deployment) -> None:
    async with suite_on(deployment.server.url, **deployment.settings) as suite:
        half = Submission(suite.producer, RECIPE, "half")
        await half.add_pictures([("a.jpg", b"a")])
        async with open_ingest(suite.settings, Health()) as stage:
            ingest = Running(stage)
            await wait_until(lambda: has_image(suite), "its first part is expanded")
            await ingest.drain()
        await suite.client.flushall()
    done = deployment.faces("submit", "--missing")
    assert done.returncode == 3
    assert "0 sent again, 1 lost, 0 under way" in done.stdout
    assert "1 submission not fully expanded" in done.stderr


async def test_a_flight_whose_entry_was_destroyed_does_not_block_its_image(
    deployment: Deployment,
) -> None:
    async with suite_on(deployment.server.url, **deployment.settings) as suite:
        await deployment.submit(suite)
        await suite.client.xtrim(suite.keys.stream(IMAGES), maxlen=0)
        assert await suite.client.scard(suite.keys.in_flight) == 23
    assert deployment.missing()["sent"] == 20


async def test_what_is_lost_while_other_work_waits_is_found(deployment: Deployment) -> None:
    async with suite_on(deployment.server.url, **deployment.settings) as suite:
        await deployment.submit(suite)
        await suite.client.delete(suite.keys.stream(IMAGES))
        others = Submission(suite.producer, RECIPE, "others")
        await others.add_pictures([("other.jpg", b"other")])  # waits for ingest
        await suite.add_all([image(f"other-{n}.jpg") for n in range(4)])

        assert deployment.missing() == {"sent": 20, "lost": 3, "under_way": 0, "unexpanded": 0}
        assert deployment.missing() == {"sent": 0, "lost": 0, "under_way": 23, "unexpanded": 0}
        assert await suite.length(IMAGES) == 24


async def test_sources_lost_while_others_wait_are_told(deployment: Deployment) -> None:
    async with suite_on(deployment.server.url, **deployment.settings) as suite:
        half = Submission(suite.producer, RECIPE, "half")
        await half.add_pictures([("a.jpg", b"a")])
        async with open_ingest(suite.settings, Health()) as stage:
            ingest = Running(stage)
            await wait_until(lambda: has_image(suite), "its first part is expanded")
            await ingest.drain()
        whole = Submission(suite.producer, RECIPE, "whole")
        await whole.add_pictures([("b.jpg", b"b")])
        await whole.close()
        assert deployment.missing() == {"sent": 0, "lost": 0, "under_way": 1, "unexpanded": 1}
        await half.close()
        assert deployment.missing()["unexpanded"] == 0


async def test_what_is_submitted_again_after_a_loss_is_done_while_other_work_waits(
    deployment: Deployment,
) -> None:
    async with suite_on(deployment.server.url, **deployment.settings) as suite:
        await deployment.submit(suite)
        await suite.client.delete(suite.keys.stream(IMAGES))
        await suite.add_all([image(f"other-{n}.jpg") for n in range(4)])
        done = deployment.faces("submit", "--by-reference", str(deployment.pictures))
        assert done.returncode == 0, done.stderr
        assert "23 images that Redis had lost can be sent again" in done.stderr
        async with open_ingest(suite.settings, Health()) as stage:
            ingest = Running(stage)

            async def all_wait_again() -> bool:
                return await suite.length(IMAGES) == 24

            await wait_until(all_wait_again, "they are under way again")
            await ingest.drain()


def test_missing_takes_nothing_else_to_send(deployment: Deployment) -> None:
    done = deployment.faces("submit", "--missing", "pictures")
    assert (done.returncode, done.stdout) == (2, "")
    assert "give nothing else to send" in done.stderr


async def test_what_ingest_is_about_to_hand_on_is_not_taken_for_lost(
    deployment: Deployment,
) -> None:
    """Its rows are queued before it is handed on, and ingest waits where the stream is full."""
    async with suite_on(deployment.server.url, **deployment.settings, high_water=1) as suite:
        sent = Submission(suite.producer, RECIPE, "sent")
        async with open_ingest(suite.settings, Health()) as stage:
            ingest = Running(stage)
            await suite.producer.add(image())
            await sent.add_pictures([(f"sent-{n}.jpg", b"bytes %d" % n) for n in range(3)])

            async def rows_are_queued() -> bool:
                catalog = await Catalog.open(deployment.settings["database_url"])
                try:
                    return len(await catalog.reader.queued()) == 3
                finally:
                    await catalog.close()

            await wait_until(rows_are_queued, "ingest has written its rows, and waits")
            assert await wait_in_sources(suite)
            told = deployment.missing()
            assert (told["lost"], told["under_way"]) == (0, 3)
            await suite.client.xtrim(suite.keys.stream(IMAGES), maxlen=0)
            await ingest.drain()

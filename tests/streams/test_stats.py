"""`faces stats` reads right in every state of the streams, on a real server."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from services.cli.commands.stats import as_dict
from services.cli.formats.advice import advise
from shared.messages import ImageMessage, new_token
from shared.recipe import Recipe
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.entries import Membership
from shared.streams.intake import Intake
from shared.streams.keys import Keys
from shared.streams.producer import Producer
from shared.streams.scripts import Scripts
from shared.streams.stage import Later, Outcome, Work
from shared.streams.stats import ConsumerStats, Stats, StreamStats, read_stats
from tests.support.entries import entries_in
from tests.support.faces_command import Faces
from tests.support.servers import RedisServer
from tests.support.stages import running, suite_on
from tests.support.waiting import wait_until

STREAM_KEYS = {
    "name",
    "length",
    "bytes",
    "waiting",
    "pending",
    "lag",
    "later",
    "waits_for",
    "oldest_seconds",
    "redelivered",
    "consumers",
}
IMAGES = "{faces}:images"
LEASE = 30.0


def image(name: str) -> ImageMessage:
    recipe = Recipe(model="haar", model_version="opencv4")
    return ImageMessage(
        submission=new_token(),
        trace=new_token(),
        recipe=recipe,
        id=new_token(),
        name=name,
        source_uri=f"file:///{name}",
    )


async def add_images(url: str, count: int) -> None:
    settings = Settings.load({"redis_url": url})
    async with connect(settings.redis_url) as client:
        producer = Producer(client, settings)
        for number in range(count):
            await producer.add(image(f"{number}.jpg"))


async def read(url: str) -> Stats:
    async with connect(Settings.load({"redis_url": url}).redis_url) as client:
        return await read_stats(client, Keys("faces"))


async def test_on_a_server_where_nothing_was_submitted_all_is_zero(redis_url: str) -> None:
    stats = await read(redis_url)
    told = as_dict(stats, LEASE)
    assert set(told) == {
        "streams",
        "dead",
        "dead_bytes",
        "dead_without_bytes",
        "dead_gone",
        "memory",
        "rate",
        "eta_seconds",
        "advice",
    }
    streams = told["streams"]
    assert isinstance(streams, list)
    assert [stream["name"] for stream in streams] == ["sources", "images", "results"]
    for stream in streams:
        assert set(stream) == STREAM_KEYS
        assert (stream["length"], stream["waiting"], stream["pending"]) == (0, 0, 0)
        assert (stream["lag"], stream["consumers"]) == (0, [])
    assert (told["dead"], told["rate"], told["eta_seconds"]) == (0, 0, 0)
    assert told["advice"] == "nothing is waiting"
    assert stats.memory_used > 0


async def test_a_backlog_without_a_group_is_all_waiting(redis_url: str) -> None:
    await add_images(redis_url, 3)
    images = (await read(redis_url)).stream("images")
    assert (images.length, images.waiting, images.pending, images.lag) == (3, 3, 0, 3)
    assert images.bytes > 300
    assert 0 <= images.oldest_seconds < 60
    assert "3 wait and no detector runs" in advise(await read(redis_url), LEASE)


async def test_a_group_and_its_consumers_are_told_with_what_they_hold(redis_url: str) -> None:
    await add_images(redis_url, 3)
    with redis.Redis.from_url(redis_url) as client:
        client.xgroup_create(IMAGES, "detector", id="0")
        client.xreadgroup("detector", "gone", {IMAGES: ">"}, count=2)
        held = client.xpending_range(IMAGES, "detector", "-", "+", 10)
        first = held[0]["message_id"]
        client.xclaim(IMAGES, "detector", "other", 0, [first])
    images = (await read(redis_url)).stream("images")
    assert (images.length, images.waiting, images.pending, images.redelivered) == (3, 1, 2, 1)
    assert [(one.name, one.pending) for one in images.consumers] == [("gone", 1), ("other", 1)]
    assert images.lag == 1


async def test_a_lag_that_the_server_does_not_know_is_unknown_and_not_zero(redis_url: str) -> None:
    await add_images(redis_url, 4)
    with redis.Redis.from_url(redis_url) as client:
        client.xgroup_create(IMAGES, "detector", id="0")
        client.xreadgroup("detector", "one", {IMAGES: ">"}, count=1)
        ids = [entry for entry, _ in entries_in(client.xrange(IMAGES))]
        client.xdel(IMAGES, ids[2])  # one that waits: the server loses count
        told = client.xinfo_groups(IMAGES)[0]["lag"]
    assert told is None
    assert (await read(redis_url)).stream("images").lag is None


async def test_the_rate_is_of_the_last_minute(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        slot = int(client.time()[0]) // 5
        ring = {f"{{faces}}:results#{n % 16}": f"{n} 50" for n in (slot - 2, slot - 1)}
        ring[f"{{faces}}:results#{(slot - 14) % 16}"] = f"{slot - 14} 9999"  # more than a minute
        client.hset("{faces}:rate", mapping=ring)
    await add_images(redis_url, 100)
    stats = await read(redis_url)
    assert 100 / 15 <= stats.rate <= 100 / 10
    assert stats.eta_seconds == pytest.approx(100 / stats.rate)


async def test_what_nobody_can_count_is_left_out(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        slot = int(client.time()[0]) // 5
        ring = {0: b"what is this", 1: b"\xff 1", 2: f"{slot - 1} 50".encode()}
        client.hset("{faces}:rate", mapping={f"{{faces}}:results#{n}": v for n, v in ring.items()})
        client.hset("{faces}:bytes", IMAGES, "many")
    await add_images(redis_url, 1)
    stats = await read(redis_url)
    assert stats.rate > 0
    assert stats.stream("images").bytes >= 0
    with redis.Redis.from_url(redis_url) as client:
        client.set("{faces}:rate", "no hash at all")
    assert (await read(redis_url)).rate == 0


async def test_what_was_put_off_is_told_by_what_it_waits_for(
    redis_url: str, tmp_path: Path
) -> None:
    async def refused(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        return [Later(3600, "s3://pictures", "it answers 503 \x1b[2J")]

    async with suite_on(redis_url) as suite, running(suite, refused):
        await suite.add_all([image("a.jpg"), image("b.jpg")])

        async def two_wait() -> bool:
            return (await read(redis_url)).stream("images").later == 2

        await wait_until(two_wait, "both are put off")
    faces = Faces(tmp_path, FACES_REDIS_URL=redis_url)
    told = json.loads(faces("stats", "--json").stdout)["streams"][1]["waits_for"]
    assert told == [{"key": "s3://pictures", "count": 2, "reason": "it answers 503 \x1b[2J"}]
    table = faces("stats").stdout
    assert "s3://pictures" in table and "\\x1b[2J" in table and "\x1b" not in table
    assert "2 entries wait for s3://pictures: it answers 503" in advise(
        await read(redis_url), LEASE
    )


async def test_a_consumer_without_work_is_seen_to_live(own_server: RedisServer) -> None:
    """Up to Redis 7.0 its reads do not say so, as long as they bring nothing."""
    async with suite_on(own_server.url) as suite:
        name, scripts = suite.keys.stream("images"), Scripts(suite.client, suite.keys)
        membership = Membership(name, "detector", "idle", suite.keys.history("images"))
        intake = Intake(suite.client, scripts, membership, lease_ms=1000)
        await intake.join()
        await suite.add_all([image("a.jpg")])
        [held] = await intake.read(1)

        async def idle() -> float:
            [one] = (await read(own_server.url)).stream("images").consumers
            return one.idle_seconds

        async def long_idle() -> bool:
            return await idle() > 0.5

        async def shown() -> bool:
            await intake.show_life()
            return await idle() < 0.5

        await wait_until(long_idle, "it looks idle")
        await wait_until(shown, "it is seen to live")
        [pending] = await suite.client.xpending_range(name, "detector", "-", "+", 9)
        assert (pending["message_id"], pending["times_delivered"]) == (held.id, 1)
        assert int(pending["time_since_delivered"]) > 500, "its lease is not renewed by that"

        await suite.client.xgroup_delconsumer(name, "detector", "idle")
        await intake.show_life()
        assert [one.name for one in (await read(own_server.url)).stream("images").consumers] == [
            "idle"
        ]


async def test_a_running_stage_comes_back_to_its_group_by_itself(own_server: RedisServer) -> None:
    async with suite_on(own_server.url) as suite, running(suite) as run:
        name, consumer = suite.keys.stream("images"), run.stage.consumer

        async def listed() -> bool:
            images = (await read(own_server.url)).stream("images")
            return consumer in [one.name for one in images.consumers]

        await wait_until(listed, "it has joined")
        await suite.client.xgroup_delconsumer(name, "detector", consumer)
        await wait_until(listed, "it is back")


async def test_a_key_that_is_no_stream_is_not_a_crash(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(IMAGES, "what is this")
    assert (await read(redis_url)).stream("images").length == 0


def test_without_a_server_it_is_one_line_and_status_4(tmp_path: Path) -> None:
    done = Faces(tmp_path)("stats", "--redis", "redis://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (4, "")
    assert "Redis cannot be reached" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_prints_a_table_or_json(redis_url: str, tmp_path: Path) -> None:
    faces = Faces(tmp_path, FACES_REDIS_URL=redis_url)
    table = faces("stats")
    assert table.returncode == 0, table.stderr
    assert "nothing is waiting" in table.stdout and "no consumers" in table.stdout
    assert json.loads(faces("stats", "--json").stdout)["dead"] == 0


def test_of_a_folder_without_a_run_it_says_so(tmp_path: Path) -> None:
    done = Faces(tmp_path)("stats", "-o", "out")
    assert done.returncode == 2
    assert "no run is going on in out" in done.stderr


def stream(name: str, length: int = 0, alive: int = 1, rate: float = 0) -> StreamStats:
    consumers = tuple(ConsumerStats(f"{name}-{n}", 0, 0.5) for n in range(alive))
    return StreamStats(name, length, 0, length, 0, length, 1.0, 0, consumers, rate)


def stats_of(
    sources: int = 0, images: int = 0, results: int = 0, rate: float = 10, alive: int = 2
) -> Stats:
    streams = (
        stream("sources", sources),
        stream("images", images, alive, rate),
        stream("results", results, 1, rate),
    )
    return Stats(streams, 0, 10, 100)


def test_advice_names_what_is_wrong_before_what_is_slow() -> None:
    busy = stats_of(images=100)
    silent = ConsumerStats("dead-1", 3, 90.0)
    images = replace(busy.stream("images"), consumers=(silent,))
    holding = replace(busy, streams=(busy.streams[0], images, busy.streams[2]))
    assert advise(busy, LEASE) == "all is moving"
    assert advise(replace(busy, memory_used=95), LEASE).startswith("Redis is nearly full")
    assert advise(replace(busy, dead=2), LEASE).startswith("2 dead letters: see why with")
    assert advise(holding, LEASE) == (
        "dead-1 holds 3 entries, silent for 90 s, and no other detector runs: "
        "start one with `faces detector`"
    )


def test_advice_says_how_many_detectors_would_keep_up() -> None:
    assert advise(stats_of(images=500, rate=8), LEASE, growth=12) == (
        "waiting grows by 12/s: scale detector from 2 to 5"
    )
    assert advise(stats_of(images=500, rate=8), LEASE, growth=0.2) == "all is moving"


def test_advice_halves_a_long_wait_and_sees_a_slow_writer() -> None:
    assert "scale detector from 2 to 4" in advise(stats_of(images=20_000), LEASE)
    assert "scale writer from 1 to 2" in advise(stats_of(images=10, results=1500), LEASE)


def test_time_to_empty_is_unknown_while_sources_are_read_or_nothing_moves() -> None:
    assert stats_of(images=100).eta_seconds == 10
    assert stats_of(images=100, rate=0).eta_seconds is None
    assert stats_of(sources=1, images=100).eta_seconds is None
    assert stats_of(rate=0).eta_seconds == 0

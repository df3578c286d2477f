"""What an earlier run left in its own server does not stand in the way of the next."""

from redis.asyncio import Redis

from shared.messages import ImageMessage, Message, SourceKind, SourceMessage, new_token
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.keys import Keys
from shared.streams.producer import Producer
from shared.streams.repairs import clear_leftovers
from shared.streams.stats import read_stats
from tests.support.stages import RECIPE, image, result_of

KEYS = Keys("faces")


def source() -> SourceMessage:
    return SourceMessage(
        submission=new_token(),
        trace=new_token(),
        recipe=RECIPE,
        kind=SourceKind.FILES,
        part=0,
        uri="file:///pictures",
    )


async def left_behind(client: Redis, settings: Settings, *messages: Message) -> None:
    """Messages that a dead run had added, and of each stream one delivered to a dead consumer."""
    producer = Producer(client, settings)
    for message in messages:
        await producer.add(message)
    for name, group in (("sources", "ingest"), ("images", "detector"), ("results", "writer")):
        stream = KEYS.stream(name)
        await client.xgroup_create(stream, group, id="0", mkstream=True)
        await client.xreadgroup(group, "dead", {stream: ">"}, count=1)


async def test_work_is_dropped_and_results_are_kept(redis_url: str) -> None:
    settings = Settings.load({"redis_url": redis_url})
    waiting, searched = image("a.jpg"), image("b.jpg")
    async with connect(settings.redis_url) as client:
        await left_behind(client, settings, source(), waiting, result_of(searched))
        await clear_leftovers(client, KEYS)
        stats = await read_stats(client, KEYS)
        assert [stream.length for stream in stats.streams] == [0, 0, 1]
        assert [stream.bytes > 0 for stream in stats.streams] == [False, False, True]
        assert await client.smembers(KEYS.in_flight) == {searched.in_flight.encode()}


async def test_an_image_that_was_dropped_can_be_named_again_at_once(redis_url: str) -> None:
    settings = Settings.load({"redis_url": redis_url})
    waiting: ImageMessage = image("a.jpg")
    async with connect(settings.redis_url) as client:
        await left_behind(client, settings, waiting)
        producer = Producer(client, settings)
        assert not await producer.add(waiting)  # it is under way, as far as Redis knows
        await clear_leftovers(client, KEYS)
        assert await producer.add(waiting)


async def test_results_of_the_dead_are_reclaimed_without_waiting_for_their_lease(
    redis_url: str,
) -> None:
    settings = Settings.load({"redis_url": redis_url})
    async with connect(settings.redis_url) as client:
        await left_behind(client, settings, result_of(image("b.jpg")))
        await clear_leftovers(client, KEYS)
        claimed = await client.xautoclaim(
            KEYS.stream("results"), "writer", "next", min_idle_time=3_600_000
        )
        assert len(claimed[1]) == 1


async def test_a_new_server_has_nothing_to_clear(redis_url: str) -> None:
    settings = Settings.load({"redis_url": redis_url})
    async with connect(settings.redis_url) as client:
        await clear_leftovers(client, KEYS)
        assert await client.dbsize() == 0

"""Bad messages written straight into the streams: each is refused with a reason, work goes on."""

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.ingest.service import open_stage as open_ingest
from services.writer.service import open_stage as open_writer
from shared.catalog import Catalog, QueuedImage
from shared.errors import InvalidMessage, LeftToOthers
from shared.health import Health
from shared.messages import (
    FACES_LIMIT,
    MESSAGE_LIMIT_BYTES,
    SCHEMA_VERSION,
    Face,
    ImageMessage,
    Message,
    SourceKind,
    SourceMessage,
    Status,
    decode_result,
    new_token,
)
from shared.service import OpenStage
from shared.streams.keys import DEAD, IMAGES, RESULTS, SOURCES
from shared.streams.stage import Outcome, Work
from tests.support.catalogs import step_of
from tests.support.stages import (
    RECIPE,
    Running,
    Suite,
    image,
    pass_on,
    result_of,
    running,
    suite_on,
)
from tests.support.waiting import wait_until

HEX = "0123456789abcdef" * 2


def source(**fields: Any) -> SourceMessage:  # Any: any field's value
    return SourceMessage(
        submission=HEX, trace=HEX, recipe=RECIPE, kind=SourceKind.END, part=0, **fields
    )


GOOD: dict[str, Message] = {
    SOURCES: source(),
    IMAGES: image(),
    RESULTS: result_of(image(), faces=(Face(x=1, y=1, w=1, h=1, score=1),), status=Status.FACES),
}

ANY_FIELD: dict[str, list[object]] = {
    "submission": [None, "", "../" + HEX[3:], HEX + "\n", HEX.upper(), 7, [HEX], {"a": 1}],
    "trace": [None, HEX * 2, "\0" * 32],
    "recipe": [None, {}, "yunet", {"model": "../x", "model_version": "1"}],
    "v": [0, -1, "one", 1.5, 10**400, 4e9, True.__class__.__name__, None],
}
IMAGE_FIELDS: dict[str, list[object]] = {
    "id": [None, "x" * 32, "/etc/passwd", HEX + "/", HEX[:-1]],
    "name": [None, "", "x" * 5000, 7, ["a"]],
    "generation": [0, -1, 1 << 31, 10**30, 1.5, "first"],
    "queued_at": ["yesterday", "0001-01-01T00:00:00+14:00", "2026-01-01T00:00:00", 1e300],
    "source_uri": ["", "file:///" + "a" * 13_000],
}
FIELDS: dict[str, dict[str, list[object]]] = {
    SOURCES: {
        "kind": [None, "", "url", "files", "inline", 7],
        "part": [None, -1, 1 << 31, 10**30, "first"],
        "position": ["x" * 13_000, 7],
        "excluded": [["a"] * 17, [""], "a"],
        "images": [[{}], [{"id": HEX, "name": "a"}] * 2, [None] * 501],
        "submission_name": ["x" * 1001, 7],
        "submitted_at": ["0001-01-01T00:00:00+14:00"],
    },
    IMAGES: IMAGE_FIELDS
    | {
        "source_version": ["x" * 201, 7],
        "payload": [
            {"id": HEX, "size": 1},  # and a source_uri: one too many
            {"id": HEX, "size": -1},
            {"id": HEX, "size": 10**30},
            {"id": "../" + HEX, "size": 1},
        ],
    },
    RESULTS: IMAGE_FIELDS
    | {
        "status": [None, "queued", "fine", 7, "no_faces", "failed"],
        "reason": ["without having failed", "x" * 1001],
        "annotated": ["../../etc/passwd", "/etc/passwd", "a.jpg", "a b", f"{RECIPE.id}/{HEX}.jpg"],
        "crops": [["../x.jpg"], [f"{RECIPE.id}/{HEX}/crop-0.jpg"], ["x"] * (FACES_LIMIT + 1)],
        "faces": [
            [{"x": 1, "y": 1, "w": 1, "h": 1}],
            [{"x": 1e300, "y": 1, "w": 1, "h": 1, "score": 1}],
            [{"x": 1, "y": 1, "w": 1, "h": 1, "score": 2}],
            [{"x": 1, "y": 1, "w": 1, "h": 1, "score": 1, "landmarks": [0] * 11}],
            [{"x": 1, "y": 1, "w": 1, "h": 1, "score": 1}] * (FACES_LIMIT + 1),
        ],
        "width": [0, -1, 1 << 31, 10**30],
        "bytes": [-1, 1 << 70],
        "attempts": [-1, 1 << 40],
        "detect_ms": [-1, 1e300],
        "payload": [{"id": HEX, "size": 10**30}],
        "consumer": ["x" * 1001],
    },
}


def raw_payloads(good: bytes) -> Iterator[bytes]:
    """What is no message at all, or would cost a careless reader dear."""
    start = good[:-1]
    yield b""
    yield b"null"
    yield b"[]"
    yield b'"text"'
    yield b"\x80\x04\x95 a program to load"
    yield bytes(range(256))
    yield good[:-2]
    yield good + good
    yield b"[" * 500_000
    yield start + b',"more":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    yield b'{"a":' * 100_000
    yield b" " * MESSAGE_LIMIT_BYTES + good
    yield start + b',"trace":"\\ud800"}'
    yield start + b',"trace":"' + b"\xed\xa0\x80" * 10 + b'"}'
    yield start + b',"submission":1' + b"0" * 5000 + b"}"
    yield start + b',"trace":NaN}'
    yield start + b',"recipe":{"model":"haar","model_version":"1","min_score":NaN}}'
    yield start + b',"recipe":{"model":"haar","model_version":"1","margin":Infinity}}'


def bad_payloads(stream: str) -> Iterator[bytes]:
    good = GOOD[stream].encode()
    yield from raw_payloads(good)
    fields = json.loads(good)
    for name, values in (ANY_FIELD | FIELDS[stream]).items():
        for value in values:
            yield json.dumps(fields | {name: value}).encode()
    if stream == RESULTS:
        for number in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" + b"0" * 4000):
            for field in (b'"x"', b'"score"'):
                yield good.replace(field + b":1.0", field + b":" + number)
            yield good[:-1] + b',"detect_ms":' + number + b"}"


@asynccontextmanager
async def whole_suite(url: str, tmp_path: Path) -> AsyncIterator[Suite]:
    """Ingest and writer as they are, and a detector that finds nothing."""
    database = f"sqlite:///{tmp_path}/faces.db"
    settings = {"database_url": database, "objects_url": f"file://{tmp_path}/objects"}
    async with AsyncExitStack() as opened:
        suite = await opened.enter_async_context(suite_on(url, **settings, max_attempts=1))
        stages: tuple[OpenStage, ...] = (open_ingest, open_writer)
        for open_stage in stages:
            stage = await opened.enter_async_context(open_stage(suite.settings, Health()))
            opened.push_async_callback(Running(stage).drain)
        await opened.enter_async_context(running(suite, batch=50))
        yield suite


async def test_hand_made_bad_messages_each_end_as_a_dead_letter_and_the_services_go_on(
    redis_url: str, tmp_path: Path
) -> None:
    bad = {stream: list(bad_payloads(stream)) for stream in (SOURCES, IMAGES, RESULTS)}
    total = sum(map(len, bad.values()))
    assert total >= 200
    async with whole_suite(redis_url, tmp_path) as suite:
        for stream, payloads in bad.items():
            for encoded in payloads:
                await suite.client.xadd(suite.keys.stream(stream), {"m": encoded})
        catalog = await Catalog.open(suite.settings.database_url.get_secret_value())
        good = [image(f"{n}.jpg") for n in range(3)]
        asked = [QueuedImage(one.id, one.name, one.source_uri) for one in good]
        await catalog.ledger.queue(step_of(asked, recipe=good[0].recipe))
        await suite.add_all(good)
        await wait_until(suite.all_streams_empty, "every entry has an end")
        letters = await suite.entries(DEAD)
        assert sorted(letter[b"m"] for letter in letters) == sorted(
            encoded for payloads in bad.values() for encoded in payloads
        )
        for letter in letters:
            assert letter[b"reason"].startswith((b"not a ", b"message of ")), letter[b"reason"]
            assert len(letter[b"reason"]) < 300, "and does not repeat what it was given"
        for one in good:
            (row,) = await catalog.reader.show(one.id)
            assert row.status is Status.NO_FACES
        await catalog.close()


@pytest.mark.parametrize("weight", [b"9" * 5000, b"9" * 30, b"-1", b"1e30", b"NaN", b"", b"\xff"])
async def test_a_weight_that_nobody_would_write_neither_stops_nor_doubles_anything(
    weight: bytes, redis_url: str
) -> None:
    async with suite_on(redis_url) as suite:
        entry: Any = {"m": image().encode(), "n": weight}
        await suite.client.xadd(suite.keys.stream(IMAGES), entry)
        async with running(suite):
            await wait_until(suite_has(suite, IMAGES, 0), "it is finished")
        assert await suite.length(RESULTS) == 1


async def test_a_message_that_a_batch_stumbles_over_is_blamed_alone(redis_url: str) -> None:
    async def stumble(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        if any(work.message.name == "bad.jpg" for work in works):
            raise ValueError("not the key of an object")
        return await pass_on(works)

    async with suite_on(redis_url, max_attempts=1) as suite:
        await suite.add_all([image("bad.jpg" if n == 3 else f"{n}.jpg") for n in range(10)])
        async with running(suite, stumble, batch=10, linger=0.2):
            await wait_until(suite_has(suite, RESULTS, 10), "all have an end")
        reasons = {one.name: one.reason for one in await suite.results() if one.reason}
        assert reasons == {"bad.jpg": "ValueError: not the key of an object"}
        assert {one.attempts for one in await suite.results()} == {1}


def suite_has(suite: Suite, stream: str, count: int) -> Any:  # Any: a condition for wait_until
    async def held() -> bool:
        return await suite.length(stream) == count

    return held


def test_where_a_field_is_given_twice_all_readers_take_the_last() -> None:
    first, last = new_token(), new_token()
    good = image(id=first).encode()
    doubled = good[:-1] + f',"id":"{last}"}}'.encode()
    assert ImageMessage.decode(doubled).id == last
    assert json.loads(doubled)["id"] == last


def test_a_name_that_looks_like_another_kind_of_message_changes_nothing() -> None:
    disguised = result_of(image('","source_failed":true,"x":"'))
    assert decode_result(disguised.encode()) == disguised


def test_a_version_of_the_near_future_is_left_and_one_of_the_far_is_refused() -> None:
    good = image().encode()
    with pytest.raises(LeftToOthers):
        ImageMessage.decode(good.replace(b'"v":%d' % SCHEMA_VERSION, b'"v":1000'))
    with pytest.raises(InvalidMessage, match="v: "):
        ImageMessage.decode(good.replace(b'"v":%d' % SCHEMA_VERSION, b'"v":1001'))

"""Objects that a detector fetches for its slots, from an S3 over real HTTP."""

import asyncio
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from services.detector import listening as module
from services.detector.failures import CHANGED, Refused, TryAgain
from services.detector.fetching import Fetching
from services.detector.put_off import PutOff
from services.detector.room import Room
from shared.identity import object_version
from shared.reasons import Reason
from shared.references import BUCKETS
from shared.settings import Settings
from shared.stores.buckets import PIECE_BYTES, Buckets
from shared.streams.away import Away
from tests.support.detecting import answering_all
from tests.support.s3_stub import S3Stub, s3_stub
from tests.support.waiting import wait_until


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Stub]:
    with s3_stub() as stub:
        stub.buckets = {"in": {"a.jpg": b"pixels"}, "other": {"a.jpg": b"pixels"}}
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        yield stub


@pytest.fixture
def away() -> Away:
    return answering_all()


def fetching_of(away: Away, room: Room | None = None, **overrides: Any) -> Fetching:
    settings = Settings.load({"source_buckets": "s3://in,s3://other/allowed", **overrides})
    return Fetching(settings, Buckets(BUCKETS.setting), away, room or Room(1 << 20))


async def fetched(fetching: Fetching, uri: str = "s3://in/a.jpg", version: str = "") -> bytes:
    async with fetching.content(uri, version) as content:
        return content


async def refused(fetching: Fetching, *named: str) -> Refused:
    with pytest.raises(Refused) as caught:
        await fetched(fetching, *named)
    return caught.value


async def test_an_object_is_fetched_whole(stub: S3Stub, away: Away) -> None:
    assert await fetched(fetching_of(away)) == b"pixels"
    stub.buckets["in"]["large.jpg"] = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"end"
    assert await fetched(fetching_of(away), "s3://in/large.jpg") == stub.buckets["in"]["large.jpg"]


async def test_only_the_version_that_was_named_is_fetched(stub: S3Stub, away: Away) -> None:
    fetching = fetching_of(away)
    meta = await Buckets(BUCKETS.setting).of("s3://in")[0].head("a.jpg")
    version = object_version(meta["e_tag"], meta["size"], meta["last_modified"])
    assert await fetched(fetching, "s3://in/a.jpg", version) == b"pixels"
    stub.buckets["in"]["a.jpg"] = b"others"
    changed = await refused(fetching, "s3://in/a.jpg", version)
    assert (changed.reason, str(changed)) == (Reason.CHANGED, CHANGED)
    del stub.buckets["in"]["a.jpg"]
    gone = await refused(fetching, "s3://in/a.jpg", version)
    assert (gone.reason, str(gone)) == (Reason.GONE, "the object s3://in/a.jpg is gone")


async def test_an_object_larger_than_the_limit_is_not_read(stub: S3Stub, away: Away) -> None:
    stub.buckets["in"]["large.jpg"] = b"x" * 1001
    fetching = fetching_of(away, max_file_bytes=1000, inline_limit_bytes=1000)
    large = await refused(fetching, "s3://in/large.jpg")
    assert large.reason is Reason.TOO_LARGE
    assert str(large) == "1,001 bytes; FACES_MAX_FILE_BYTES allows 1,000"


@pytest.mark.parametrize("uri", ["s3://other/a.jpg", "s3://other/allowed-not/a", "s3://third/a"])
async def test_what_is_not_below_an_allowed_bucket_is_not_asked_for(
    uri: str, stub: S3Stub, away: Away
) -> None:
    outside = await refused(fetching_of(away), uri)
    assert outside.reason is Reason.NOT_ALLOWED
    assert "FACES_SOURCE_BUCKETS" in str(outside)
    assert stub.requests == []


async def test_a_credential_that_is_missing_here_is_no_pictures_fault(
    away: Away, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    account = tmp_path / "account.json"
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(account))
    monkeypatch.setattr("shared.streams.away.ASK_FIRST_SECONDS", 0.01)
    monkeypatch.setattr("shared.streams.away.TRIAL_FIRST_SECONDS", 3600)
    monkeypatch.setattr("shared.streams.away.TRIAL_CAP_SECONDS", 3600)
    fetching = fetching_of(away, source_buckets="gs://in")
    with pytest.raises(PutOff, match="FACES_SOURCE_BUCKETS") as caught:
        await fetched(fetching, "gs://in/a.jpg")
    assert caught.value.later.key == "gs://in"
    about = ("client_email", "private_key", "private_key_id")
    account.write_text(json.dumps(dict.fromkeys(about, "") | {"disable_oauth": True}))
    await wait_until(lambda: away.later("gs://in") is None, "it is opened")
    await away.close()


async def test_a_key_that_no_object_can_have_is_refused(stub: S3Stub, away: Away) -> None:
    assert (await refused(fetching_of(away), "s3://in/a//b.jpg")).reason is Reason.NOT_A_FILE


async def test_one_object_that_is_refused_costs_it_an_attempt(stub: S3Stub, away: Away) -> None:
    stub.buckets["in"]["b.jpg"] = b"others"
    stub.refuse = lambda _, __, key: (403, "AccessDenied") if key == "b.jpg" else None
    fetching = fetching_of(away)
    await fetched(fetching)
    with pytest.raises(TryAgain, match="403 Forbidden") as caught:
        await fetched(fetching, "s3://in/b.jpg")
    assert caught.value.reason is Reason.UNREADABLE
    assert away.later("s3://in") is None


@pytest.mark.parametrize(
    "answer", [(503, "SlowDown"), (403, "AccessDenied"), (400, "ExpiredToken")]
)
async def test_a_bucket_that_refuses_all_is_nobodys_fault(
    answer: tuple[int, str], stub: S3Stub, away: Away
) -> None:
    fetching = fetching_of(away)
    await fetched(fetching)
    stub.refuse = lambda *_: answer
    with pytest.raises(PutOff) as caught:
        await fetched(fetching)
    assert caught.value.later.key == "s3://in"
    asked = len(stub.requests)
    with pytest.raises(PutOff):
        await fetched(fetching)
    assert len(stub.requests) == asked, "it is put off untried"
    stub.mend()
    await wait_until(lambda: away.later("s3://in") is None, "it is asked, and answers")
    assert await fetched(fetching) == b"pixels"
    await away.close()


async def test_a_silent_bucket_is_told_long_before_its_connections_are(
    stub: S3Stub, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So much less than the limits of a connection that only its own patience can have ended it.
    monkeypatch.setattr("shared.stores.opening.SILENCE_SECONDS", 3600)
    fetching = fetching_of(away)
    stub.silent = {"in"}
    with pytest.raises(PutOff) as caught:
        await fetched(fetching)
    assert caught.value.later.key == "s3://in"
    assert "s3://in does not answer" in caught.value.later.reason
    stub.mend()
    await wait_until(lambda: away.later("s3://in") is None, "it is asked, and answers")
    assert await fetched(fetching) == b"pixels"
    await away.close()


def slow(seconds: float) -> Callable[[str, str, str], None]:
    """A rule of a stub that takes its time."""

    def rule(*_: str) -> None:
        time.sleep(seconds)

    return rule


async def test_a_bucket_that_is_only_slow_gets_more_patience_until_it_is_read(
    stub: S3Stub, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr("shared.streams.away.ASK_FIRST_SECONDS", 0.01)
    stub.refuse = cast(Any, slow(0.2))
    fetching, put_off = fetching_of(away), 0
    while True:
        try:
            content = await fetched(fetching)
        except PutOff:
            put_off += 1
            await wait_until(lambda: away.later("s3://in") is None, "it answers, slowly")
        else:
            break
    assert content == b"pixels"
    assert put_off > 0
    await away.close()


async def test_a_bucket_that_is_quick_again_gets_no_more_patience_than_any(
    stub: S3Stub, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only patience can end it: the limits of a connection are so much longer.
    monkeypatch.setattr("shared.stores.opening.SILENCE_SECONDS", 3600)
    monkeypatch.setattr("shared.streams.away.ASK_FIRST_SECONDS", 0.5)
    monkeypatch.setattr("shared.streams.away.TRIAL_FIRST_SECONDS", 3600)
    monkeypatch.setattr("shared.streams.away.TRIAL_CAP_SECONDS", 3600)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(module, "MOST_PATIENCE_SECONDS", 0.5)
    fetching = fetching_of(away)
    await fetched(fetching)
    stub.silent = {"in"}
    with pytest.raises(PutOff):
        await fetched(fetching)
    stub.mend()
    await wait_until(lambda: away.later("s3://in") is None, "it answers at once")
    await fetched(fetching)
    stub.silent = {"in"}
    with pytest.raises(PutOff):
        async with asyncio.timeout(60):
            await fetched(fetching)
    stub.mend()
    await away.close()


async def test_a_bucket_from_which_other_objects_come_meanwhile_is_not_silent(
    stub: S3Stub, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.05)
    stub.refuse = cast(Any, slow(0.5))
    buckets = Buckets(BUCKETS.setting)
    bucket, _ = buckets.of("s3://in")
    bucket.heard_at = time.monotonic() + 5
    fetching = Fetching(Settings.load({"source_buckets": "s3://in"}), buckets, away, Room(100))
    assert await fetched(fetching) == b"pixels"


async def test_an_object_that_does_not_come_while_others_do_is_itself_at_fault(
    stub: S3Stub, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ALONE_SECONDS", 0.2)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    release = threading.Event()

    def rule(_: str, __: str, key: str) -> None:
        if key == "hangs.jpg":
            release.wait()

    stub.refuse = cast(Any, rule)
    buckets = Buckets(BUCKETS.setting)
    bucket, _ = buckets.of("s3://in")
    bucket.heard_at = time.monotonic() + 3600  # others come all the time
    fetching = Fetching(Settings.load({"source_buckets": "s3://in"}), buckets, away, Room(100))
    with pytest.raises(TryAgain, match=r"s3://in/hangs.jpg does not come, its bucket answers"):
        await fetched(fetching, "s3://in/hangs.jpg")
    assert away.later("s3://in") is None
    release.set()


async def test_an_object_that_hangs_while_nobody_reads_others_is_itself_at_fault_too(
    stub: S3Stub, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ALONE_SECONDS", 1.0)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.5)
    release = threading.Event()

    def rule(_: str, __: str, key: str) -> None:
        if key == "hangs.jpg":
            release.wait()

    stub.refuse = cast(Any, rule)
    fetching = fetching_of(away)
    await fetched(fetching)
    with pytest.raises(TryAgain, match="does not come, its bucket answers"):
        await fetched(fetching, "s3://in/hangs.jpg")
    assert await fetched(fetching) == b"pixels", "no other waits for it"
    release.set()


async def test_a_bucket_of_which_nothing_was_read_is_asked_for_what_was_once_something_was(
    stub: S3Stub, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr("shared.streams.away.TRIAL_FIRST_SECONDS", 0)
    release = threading.Event()

    def rule(_: str, __: str, key: str) -> None:
        if key == "hangs.jpg":
            release.wait()

    stub.refuse = cast(Any, rule)
    fetching = fetching_of(away)
    with pytest.raises(PutOff):
        await fetched(fetching, "s3://in/hangs.jpg")
    assert await fetched(fetching) == b"pixels", "it was let through all the same"
    for name in ("TRIAL_FIRST_SECONDS", "TRIAL_CAP_SECONDS"):
        monkeypatch.setattr(f"shared.streams.away.{name}", 3600)
    away.later("s3://in")  # the last that is let through
    await wait_until(lambda: away.later("s3://in") is None, "its bucket answers")
    release.set()
    await away.close()


async def test_an_object_that_alone_is_answered_not_now_is_itself_at_fault_in_the_end(
    stub: S3Stub, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.streams.away.ASK_FIRST_SECONDS", 0.5)
    monkeypatch.setattr("shared.streams.away.TRIAL_FIRST_SECONDS", 3600)
    monkeypatch.setattr("shared.streams.away.TRIAL_CAP_SECONDS", 3600)
    stub.refuse = lambda _, __, key: (503, "SlowDown") if key == "b.jpg" else None
    fetching = fetching_of(away)
    await fetched(fetching)
    for _ in range(module.ROUNDS):
        with pytest.raises(PutOff):
            await fetched(fetching, "s3://in/b.jpg")
        await wait_until(lambda: away.later("s3://in") is None, "its bucket answers")
    with pytest.raises(TryAgain, match=r"s3://in/b.jpg is not answered, others .* are: .*503"):
        await fetched(fetching, "s3://in/b.jpg")
    assert away.later("s3://in") is None
    stub.refuse = lambda *_: (503, "SlowDown")
    with pytest.raises(PutOff):
        await fetched(fetching, "s3://in/b.jpg")
    await away.close()


async def test_every_piece_of_an_object_is_a_sign_of_life(stub: S3Stub) -> None:
    stub.buckets["in"]["large.jpg"] = b"x" * (3 * PIECE_BYTES)
    bucket, key = Buckets(BUCKETS.setting).of("s3://in/large.jpg")
    heard: list[float] = []

    def check(_: object) -> None:
        heard.append(bucket.heard_at)

    await bucket.get(key, check)
    assert -math.inf < heard[0] < bucket.heard_at


async def test_an_object_for_which_there_is_no_room_is_asked_for_again_when_there_is(
    stub: S3Stub, away: Away
) -> None:
    room = Room(10)
    fetching = fetching_of(away, room)
    with room.share() as share:
        await share.take(5)
        waiting = asyncio.create_task(fetched(fetching))
        await wait_until(lambda: stub.requests == ["GET in/a.jpg"], "its size is known")
        for _ in range(1000):  # turns of the loop, in which it would be done
            await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting == b"pixels"
    assert stub.requests == ["GET in/a.jpg"] * 2
    assert room.take_now(10), "it gave back what it took"

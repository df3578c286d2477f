"""Buckets that pictures are read from: whose fault an error is, and keys that cannot be named."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from shared.errors import SettingsError, Unreachable
from shared.stores import opening
from shared.stores.bad_keys import BadKey
from shared.stores.buckets import Bucket, Buckets, Gone
from shared.stores.opening import ObjectRefused
from tests.support.s3_stub import Refusal, S3Stub, s3_stub

if TYPE_CHECKING:
    from obstore import ObjectMeta


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Stub]:
    """An S3 with one bucket, `b`, of three pictures, that programs here find."""
    with s3_stub() as stub:
        stub.buckets["b"] = {f"in/{name}.jpg": name.encode() for name in ("a", "bad", "c")}
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        yield stub


@pytest.fixture
def bucket(stub: S3Stub) -> Bucket:
    return Buckets("FACES_SOURCE_BUCKETS").of("s3://b/in")[0]


def anything(_: "ObjectMeta") -> None:
    """A check that nothing fails."""


async def listed(bucket: Bucket, prefix: str = "in", offset: str = "") -> list[str]:
    """The keys of a listing; one that cannot be named in angle brackets."""
    return [
        f"<{found.key}>" if isinstance(found, BadKey) else found["path"]
        async for found in bucket.list(prefix, offset)
    ]


def refusing(refusal: Refusal, *keys: str) -> Any:
    """A rule that refuses these keys; all requests where none is given."""
    return lambda _, __, key: refusal if key in keys or not keys else None


async def test_an_object_is_read_once_its_size_was_looked_at(bucket: Bucket) -> None:
    sizes: list[int] = []
    assert await bucket.get("in/a.jpg", lambda meta: sizes.append(meta["size"])) == b"a"
    assert sizes == [1]
    assert (await bucket.head("in/bad.jpg"))["size"] == 3


async def test_what_the_check_raises_is_raised_and_nothing_else_is_asked(
    bucket: Bucket, stub: S3Stub
) -> None:
    def refuse(_: "ObjectMeta") -> None:
        raise KeyError("too large")

    with pytest.raises(KeyError, match="too large"):
        await bucket.get("in/a.jpg", refuse)
    assert stub.requests == ["GET b/in/a.jpg"]


async def test_an_object_that_the_store_says_is_absent_is_gone(bucket: Bucket) -> None:
    with pytest.raises(Gone):
        await bucket.get("in/nowhere.jpg", anything)
    with pytest.raises(Gone):
        await bucket.head("in/nowhere.jpg")


async def test_a_404_of_anybody_is_believed_only_where_the_bucket_is_well(
    bucket: Bucket, stub: S3Stub
) -> None:
    stub.refuse = refusing((404, ""))
    with pytest.raises(Unreachable, match="404 Not Found"):
        await bucket.get("in/bad.jpg", anything)
    stub.mend()
    await bucket.get("in/a.jpg", anything)
    stub.refuse = refusing((404, ""), "in/bad.jpg")
    with pytest.raises(Gone):
        await bucket.get("in/bad.jpg", anything)


async def test_s3_s_403_for_an_absent_key_is_that_key_s(bucket: Bucket, stub: S3Stub) -> None:
    await bucket.get("in/a.jpg", anything)
    stub.refuse = refusing((403, "AccessDenied"), "in/bad.jpg")
    with pytest.raises(ObjectRefused, match=r"403 Forbidden \(AccessDenied\)"):
        await bucket.get("in/bad.jpg", anything)


@pytest.mark.parametrize(
    "refusal",
    [
        *((403, "AccessDenied"), (400, "ExpiredToken"), (403, "RequestTimeTooSkewed")),
        *((404, "NoSuchBucket"), (301, "PermanentRedirect"), (400, "NobodyHasSeenThisCode")),
        *((500, "InternalError"), (503, "SlowDown")),
    ],
)
async def test_what_all_are_refused_is_an_outage_until_it_is_mended(
    bucket: Bucket, stub: S3Stub, refusal: Refusal
) -> None:
    await bucket.get("in/a.jpg", anything)
    await listed(bucket)
    stub.refuse = refusing(refusal)
    with pytest.raises(Unreachable, match="s3://b"):
        await bucket.get("in/bad.jpg", anything)
    with pytest.raises(Unreachable, match="s3://b"):
        await bucket.ask()
    with pytest.raises(Unreachable, match="s3://b cannot be listed"):
        await listed(bucket)
    with pytest.raises(Unreachable, match="s3://b"):
        await bucket.ask()
    stub.mend()
    await bucket.ask()
    assert await bucket.get("in/bad.jpg", anything) == b"bad"


async def test_where_nothing_has_succeeded_a_refusal_is_waited_for(
    bucket: Bucket, stub: S3Stub
) -> None:
    stub.refuse = refusing((403, "AccessDenied"), "in/bad.jpg")
    with pytest.raises(Unreachable):
        await bucket.get("in/bad.jpg", anything)
    with pytest.raises(Unreachable):
        await bucket.ask()
    await bucket.get("in/a.jpg", anything)
    await bucket.ask()
    with pytest.raises(ObjectRefused):
        await bucket.get("in/bad.jpg", anything)


async def test_that_the_bucket_can_be_listed_says_nothing_of_reading(
    bucket: Bucket, stub: S3Stub
) -> None:
    await listed(bucket)
    stub.refuse = lambda _, __, key: (403, "AccessDenied") if key else None
    with pytest.raises(Unreachable):
        await bucket.get("in/a.jpg", anything)


async def test_one_of_the_last_that_were_read_may_be_deleted_by_now(
    bucket: Bucket, stub: S3Stub
) -> None:
    await bucket.get("in/c.jpg", anything)
    await bucket.get("in/a.jpg", anything)
    stub.refuse = refusing((403, "AccessDenied"), "in/a.jpg", "in/bad.jpg")
    with pytest.raises(ObjectRefused):
        await bucket.get("in/bad.jpg", anything)


async def test_a_silent_bucket_is_an_outage(stub: S3Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "SILENCE_SECONDS", 0.3)
    bucket, _ = Buckets("FACES_SOURCE_BUCKETS").of("s3://b")
    stub.silent.add("b")
    with pytest.raises(Unreachable, match="it does not answer"):
        await bucket.get("in/a.jpg", anything)
    with pytest.raises(Unreachable, match="it does not answer"):
        await listed(bucket)
    with pytest.raises(Unreachable, match="it does not answer"):
        await bucket.ask()
    stub.mend()
    await bucket.ask()


@pytest.mark.parametrize("refusal", [(403, "AccessDenied"), (404, ""), (503, "SlowDown")])
async def test_an_outage_is_told_without_the_key_that_met_it(
    bucket: Bucket, stub: S3Stub, refusal: Refusal
) -> None:
    await bucket.get("in/a.jpg", anything)
    stub.refuse = refusing(refusal)
    for attempt in (lambda: bucket.get("in/bad.jpg", anything), bucket.ask):
        with pytest.raises(Unreachable, match=rf"^s3://b cannot be read: {refusal[0]} "):
            await attempt()


async def test_bodies_that_all_break_off_are_an_outage(bucket: Bucket, stub: S3Stub) -> None:
    await bucket.get("in/c.jpg", anything)
    stub.cut = lambda *_: True
    for name in ("in/a.jpg", "in/bad.jpg"):
        with pytest.raises(Unreachable, match=r"^s3://b: bytes break off$"):
            await bucket.get(name, anything)
        with pytest.raises(Unreachable, match=r"^s3://b: bytes break off$"):
            await bucket.ask()
    stub.mend()
    await bucket.ask()
    assert await bucket.get("in/bad.jpg", anything) == b"bad"


async def test_a_body_that_breaks_off_alone_is_its_object_s(bucket: Bucket, stub: S3Stub) -> None:
    await bucket.get("in/c.jpg", anything)
    stub.cut = lambda _, key: key == "in/bad.jpg"
    with pytest.raises(ObjectRefused, match=r"s3://b/in/bad\.jpg: its bytes break off"):
        await bucket.get("in/bad.jpg", anything)


async def test_one_page_of_a_listing_shows_that_the_bucket_can_be_listed(
    bucket: Bucket, stub: S3Stub
) -> None:
    stub.buckets["b"] = {f"in/{number:04}.jpg": b"x" for number in range(1200)}
    listing = bucket.list("in", "")
    assert [(await anext(listing)) is not None for _ in range(60)]
    stub.refuse = lambda *_: (403, "AccessDenied")
    with pytest.raises(Unreachable, match="s3://b cannot be listed: 403"):
        [one async for one in listing]
    asked = len(stub.requests)
    with pytest.raises(Unreachable, match="s3://b cannot be listed: 403"):
        await bucket.ask()
    assert len(stub.requests) == asked + 2, "its first page, and what was refused"


async def test_no_error_shows_a_credential(bucket: Bucket, stub: S3Stub) -> None:
    stub.refuse = refusing((403, "AccessDenied"))
    with pytest.raises(Unreachable) as said:
        await bucket.get("in/a.jpg", anything)
    assert "not-to-be-seen" not in str(said.value)
    assert "\n" not in str(said.value)


def test_a_bucket_that_cannot_be_opened_names_the_setting() -> None:
    with pytest.raises(SettingsError, match="FACES_SOURCE_BUCKETS"):
        Buckets("FACES_SOURCE_BUCKETS").of("s3://me:secret@b/in")


BAD = [
    *("in/m//b.jpg", "in/./m.jpg", "in/../m.jpg", "in//m.jpg", "in/m/../deep/b.jpg"),
    'in/é/"x\\//\u00e9.jpg',
]


@pytest.mark.parametrize("bad", BAD)
async def test_a_key_that_cannot_be_named_is_told_and_hides_no_other(
    bucket: Bucket, stub: S3Stub, bad: str
) -> None:
    good = ["in/0.jpg", "in/é/z.jpg", "in/m/other.jpg", "in/z.jpg", "in/a/b.jpg"]
    stub.buckets["b"] = dict.fromkeys([bad, *good], b"x")
    found = await listed(bucket)
    assert f"<{bad}>" in found
    assert [key for key in found if key != f"<{bad}>"] == sorted(good, key=str.encode)


@pytest.mark.parametrize("bad", ["in/m\nb.jpg", "in/m\x7fb.jpg", 'in/m"\\\t.jpg', "in/\t/b.jpg"])
async def test_a_key_with_a_control_character_is_told_and_hides_none_behind_it(
    bucket: Bucket, stub: S3Stub, bad: str
) -> None:
    stub.buckets["b"] = dict.fromkeys([bad, "in/mé.jpg", "in/z.jpg"], b"x")
    assert await listed(bucket) == [f"<{bad}>", "in/mé.jpg", "in/z.jpg"]


async def test_a_listing_goes_on_from_a_key_that_cannot_be_named(
    bucket: Bucket, stub: S3Stub
) -> None:
    stub.buckets["b"] = dict.fromkeys(["in/1.jpg", "in/2.jpg", "in/m//b.jpg", "in/n.jpg"], b"x")
    found = [one async for one in bucket.list("in", "in/1.jpg")]
    bad = found[1]
    assert isinstance(bad, BadKey)
    assert bad.folder == "in/m"
    assert "cannot be read" in bad.sentence
    assert await listed(bucket, offset=bad.following) == ["in/n.jpg"]
    assert await listed(bucket, offset="in/2.jpg") == ["<in/m//b.jpg>", "in/n.jpg"]


async def test_a_key_that_cannot_be_named_is_no_object_to_ask_for(bucket: Bucket) -> None:
    with pytest.raises(ValueError, match="empty path segment"):
        await bucket.get("in/m//b.jpg", anything)

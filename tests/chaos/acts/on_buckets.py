"""Acts on buckets: on the object store, and on the bucket that pictures are read from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.acts.act import Act, Broken, Event
from tests.chaos.suite import PICTURES, STORE, Suite, Way

REFUSALS = (
    (400, "ExpiredToken"),
    (403, "AccessDenied"),
    (403, "RequestTimeTooSkewed"),
    (404, "NoSuchBucket"),
    (503, "SlowDown"),
)
"""What a store says to any request alike while it is out of order."""


def refuses(bucket: str) -> Broken:
    """The act in which a bucket answers every request with a refusal."""

    @asynccontextmanager
    async def broken(suite: Suite, event: Event) -> AsyncIterator[None]:
        refusal = event.one_of(REFUSALS)
        suite.s3.refuse = lambda _, asked, __: refusal if asked == bucket else None
        yield
        suite.s3.mend()

    return broken


def is_silent(bucket: str) -> Broken:
    """The act in which a bucket takes requests and does not answer them before it is mended."""

    @asynccontextmanager
    async def broken(suite: Suite, _: Event) -> AsyncIterator[None]:
        suite.s3.silent.add(bucket)
        yield
        suite.s3.mend()

    return broken


_BREAKS = (2.0, 5.0)
_SILENCES = (2.0, 12.0)
"""Some are shorter than the time limits of who waits, others are longer."""

ACTS = (
    Act("store refuses", refuses(STORE), seconds=_BREAKS),
    Act("store silent", is_silent(STORE), seconds=_SILENCES),
    Act("bucket refuses", refuses(PICTURES), seconds=_BREAKS, way=Way.BUCKET),
    Act("bucket silent", is_silent(PICTURES), seconds=_SILENCES, way=Way.BUCKET),
)

"""Buckets that pictures are read from: listed by ingest, read by detectors, all through one door.

Errors say whose fault it is: `Unreachable` an outage of the bucket, `ObjectRefused` and `Gone` only
this object.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import obstore
from obstore import ObjectMeta
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from shared.errors import FacesError, Unreachable
from shared.judge import Judge
from shared.stores import ObjectRefused, absent, explain, open_bucket
from shared.urls import bucket_of, object_uri

SIGNS = 3
"""How many of the last successes are kept: one of them may be deleted by now."""

T = TypeVar("T")
Attempt = Callable[[], Awaitable[object]]


class Gone(FacesError):
    """There is no such object, though there is its bucket."""


class Bucket:
    """One bucket.

    All methods raise `Unreachable` if the bucket does not answer now, or refuses what it took
    before; `ObjectRefused` if it refuses this object alone, and ValueError for a key that no
    object here may have (with an empty part, or one of dots).
    """

    def __init__(self, url: str, store: ObjectStore) -> None:
        self.url = url
        """Such as `s3://bucket`."""
        self._store = store
        self._reads = _Kind()
        self._lists = _Kind()
        self._wanted = self._reads

    async def head(self, key: str) -> ObjectMeta:
        """Size, version and time of an object.

        Raises:
            Gone: there is none.
        """
        return await self._judged(self._reads, lambda: self._open(key))

    async def get(self, key: str, check: Callable[[ObjectMeta], None]) -> bytes:
        """An object's bytes; `check` sees what it is before they are read, and may raise.

        Raises:
            Gone: there is none.
        """
        return await self._judged(self._reads, lambda: self._get(key, check))

    async def list(self, prefix: str, offset: str) -> AsyncIterator[ObjectMeta]:
        """The objects below a folder ('' for all), in the order of their keys, behind `offset`."""
        try:
            async for chunk in obstore.list(self._store, prefix or None, offset=offset or None):
                for meta in chunk:
                    yield meta
        except (BaseError, OSError) as error:
            raise explain(error, f"{self.url} cannot be listed") from None

    async def ask(self) -> None:
        """A sign of life: what succeeded last, or what was refused, is tried once more.

        Raises:
            Unreachable: none yet.
        """
        kind = self._wanted
        refusal: FacesError | None = None
        for attempt in (*kind.signs, *kind.refused):
            try:
                await attempt()
            except Gone:
                return  # only a store that knows us says so
            except ObjectRefused as error:
                refusal = error
            else:
                return
        if refusal is not None:
            raise Unreachable(str(refusal))

    async def _judged(self, kind: "_Kind", attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            answer = await kind.judge.call(attempt)
        except Unreachable:
            self._wanted = kind
            kind.refused.append(attempt)
            raise
        kind.signs.append(attempt)
        return answer

    async def _get(self, key: str, check: Callable[[ObjectMeta], None]) -> bytes:
        try:
            answer = await obstore.get_async(self._store, key)
            check(answer.meta)
            return bytes(await answer.bytes_async())
        except (BaseError, OSError) as error:
            raise self._explain(error, key) from None

    async def _open(self, key: str) -> ObjectMeta:
        """As a HEAD request, whose refusals carry no reason."""
        try:
            return (await obstore.get_async(self._store, key)).meta
        except (BaseError, OSError) as error:
            raise self._explain(error, key) from None

    def _explain(self, error: Exception, key: str) -> FacesError:
        uri = object_uri(self.url, key)
        if absent(error):
            return Gone(f"{uri}: there is no such object")
        return explain(error, f"{uri} cannot be read")


class _Kind:
    """One kind of action: what succeeded and what was refused lately, to be tried again."""

    def __init__(self) -> None:
        self.signs: deque[Attempt] = deque(maxlen=SIGNS)
        self.refused: deque[Attempt] = deque(maxlen=1)
        self.judge = Judge(self._repeat)

    async def _repeat(self) -> None:
        for attempt in self.signs:
            await attempt()


class Buckets:
    """The buckets below a setting's URLs, each opened when it is first asked for."""

    def __init__(self, setting: str) -> None:
        """Errors name `setting`."""
        self._setting = setting
        self._open: dict[str, Bucket] = {}

    def of(self, uri: str) -> tuple[Bucket, str]:
        """The bucket that a URI is in, and the key in it that the URI names ('' for none).

        Raises:
            SettingsError: it cannot be opened.
        """
        url, key = bucket_of(uri)
        if url not in self._open:
            self._open[url] = Bucket(url, open_bucket(url, self._setting))
        return self._open[url], key

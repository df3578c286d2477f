"""Objects of buckets, fetched by this process, many at a time, before a slot is free for them.

A slot so needs no network and no credentials, and no bucket holds it up. A bucket that does not
answer holds up its own pictures: they are put off, untried, until it answers again.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from services.detector import metrics
from services.detector.failures import Refused, TryAgain, changed, too_large
from services.detector.listening import Listening
from services.detector.put_off import PutOff
from services.detector.room import Room, Share
from shared.errors import SettingsError, Unreachable
from shared.identity import object_version
from shared.reasons import Reason
from shared.references import BUCKETS, Scheme, is_allowed
from shared.settings import Settings
from shared.stores.buckets import Bucket, Buckets, Gone
from shared.stores.opening import ObjectRefused
from shared.streams.away import Away
from shared.urls import bucket_of

if TYPE_CHECKING:
    from obstore import ObjectMeta

_OPEN_SECONDS = metrics.STEP_SECONDS.labels("open")


class _NoRoom(Exception):
    """An object of so many bytes has to wait before it is read."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Fetching:
    """Fetches what is allowed, whole, and in the version that was submitted."""

    scheme: ClassVar[Scheme] = BUCKETS

    def __init__(self, settings: Settings, buckets: Buckets, away: Away, room: Room) -> None:
        self._allowed = BUCKETS.allow_list(settings)
        self._max_bytes = settings.max_file_bytes
        self._buckets = buckets
        self._away = away
        self._room = room
        self._listening: dict[str, Listening] = {}

    @asynccontextmanager
    async def content(self, uri: str, version: str) -> AsyncIterator[bytes]:
        """An object's bytes, in this version ('' for any), which take room until the block ends.

        Raises:
            Refused: it is gone, changed, too large, or not allowed.
            TryAgain: the bucket refuses it or does not answer for it, and gives others.
            PutOff: the bucket does not answer, or this process has not what it is opened with.
        """
        if not is_allowed(uri, self._allowed):
            raise Refused(
                Reason.NOT_ALLOWED, f"it is outside of the buckets that {BUCKETS.setting} allows"
            )
        url, key = bucket_of(uri)
        if later := self._away.later(url):
            raise PutOff(later)
        try:
            bucket = await self._open(url)
        except Unreachable as away:
            raise PutOff(self._away.report(url, str(away), partial(self._open, url))) from None
        with self._room.share() as share:
            try:
                content = await self._fetched(bucket, key, version, share)
            except ValueError:
                raise Refused(
                    Reason.NOT_A_FILE,
                    f"{uri[:200]!r} names no object: a key has no '..' and no empty part",
                ) from None
            except Gone:
                raise Refused(Reason.GONE, f"the object {uri} is gone") from None
            except ObjectRefused as refused:  # a permission may be on its way
                raise TryAgain(Reason.UNREADABLE, str(refused)) from None
            yield content

    async def _fetched(self, bucket: Bucket, key: str, version: str, share: Share) -> bytes:
        """An object's bytes. Where there is no room for them, it is asked for again when there is:
        nobody knows how long that takes, and a connection would not wait."""
        begun = asyncio.Event()
        listening = self._listening_to(bucket)

        def check(meta: "ObjectMeta") -> None:
            begun.set()
            is_version = object_version(meta["e_tag"], meta["size"], meta["last_modified"])
            if version and is_version != version:
                raise changed()
            if meta["size"] > self._max_bytes:
                raise too_large(meta["size"], self._max_bytes)
            if not share.take_now(meta["size"]):
                raise _NoRoom(meta["size"])

        while True:
            began = time.perf_counter()
            begun.clear()
            try:
                content = await listening.hear(key, bucket.get(key, check), begun)
            except _NoRoom as full:
                await share.take(full.size)
            else:
                _OPEN_SECONDS.observe(time.perf_counter() - began)
                return content

    async def _open(self, url: str) -> Bucket:
        """A bucket; Unreachable where a credential is missing here, which is no picture's fault."""
        try:
            return self._buckets.of(url)[0]
        except SettingsError as error:
            raise Unreachable(str(error)) from None

    def _listening_to(self, bucket: Bucket) -> Listening:
        return self._listening.setdefault(bucket.url, Listening(bucket, self._away))

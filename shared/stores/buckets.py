"""Buckets that pictures are read from: listed by ingest, read by detectors, all through one door.

Errors say whose fault it is: `Unreachable` an outage of the bucket, `ObjectRefused` and `Gone` only
this object.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import BaseError, InvalidPathError
from obstore.store import ObjectStore

from shared.errors import FacesError, Unreachable
from shared.stores.bad_keys import BadKey, bad_key
from shared.stores.opening import Gone, ObjectRefused, explain, open_bucket, plainly_absent
from shared.stores.signs import Attempt, Kind
from shared.urls import bucket_of, object_uri

if TYPE_CHECKING:
    from obstore import ObjectMeta

__all__ = ["Bucket", "Buckets", "Gone"]

PIECE_BYTES = 1 << 20
"""Larger objects are read in pieces of about so many bytes: each of them is a sign of life."""

NAMELESS_SECONDS = 300.0
"""How long a listing may go on without a name: obstore asks for page after page in one call, and
S3 may answer empty pages where much was deleted, but a server could go on for ever."""

T = TypeVar("T")


class _Missing(ObjectRefused):
    """A 404 without the words in which a store says that an object is not there: whoever answers at
    the address may have said it."""


class _Endless(Exception):
    """A listing that is answered page by page, and names nothing."""


class _GoingOn:
    """Whether a listing goes on: a server that begins again would be listened to for ever.

    One key is remembered, and another after twice as many: so any circle is found (R. P. Brent,
    1980), and nothing is asked of the order of keys.
    """

    def __init__(self, offset: str) -> None:
        self._offset = self._kept = offset
        self._seen = 0
        self._next = 1

    def with_key(self, key: str) -> bool:
        """False if it comes again."""
        if key in (self._offset, self._kept):
            return False
        self._seen += 1
        if self._seen == self._next:
            self._kept, self._next = key, 2 * self._next
        return True


class Bucket:
    """One bucket.

    All methods raise `Unreachable` if the bucket does not answer now, or refuses what it took
    before; `ObjectRefused` if it refuses this object alone, and ValueError for a key that no
    object here may have (with an empty part, or one of dots).
    """

    def __init__(self, url: str, store: ObjectStore) -> None:
        self.url = url
        """Such as `s3://bucket`."""
        self.heard_at = -math.inf
        """When bytes of its objects came from it last, by `time.monotonic`."""
        self._store = store
        self._reads = Kind()
        self._lists = Kind()
        self._asked = self._reads

    async def head(self, key: str) -> "ObjectMeta":
        """Size, version and time of an object.

        Raises:
            Gone: there is none.
        """
        return await self._read(partial(self._open, key), key)

    async def get(self, key: str, check: "Callable[[ObjectMeta], None]") -> bytes:
        """An object's bytes; `check` sees what it is before they are read, and may raise.

        Raises:
            Gone: there is none.
        """
        return await self._read(partial(self._get, key, check), key)

    async def list(self, prefix: str, offset: str) -> AsyncGenerator["ObjectMeta | BadKey", None]:
        """The objects below a folder ('' for all), in the order of their keys, behind `offset`.

        A key that cannot be named here is one of them, and some close to it may be missing.
        """
        going_on = _GoingOn(offset)
        try:
            async with aclosing(self._list_in_turns(prefix, offset)) as listing:
                async for found in listing:
                    key = found.key if isinstance(found, BadKey) else found["path"]
                    if not going_on.with_key(key):
                        raise ObjectRefused(f"{self.url} lists {key[:200]!r} again and again")
                    yield found
        except _Endless:
            raise ObjectRefused(
                f"{self.url} answers a listing of {prefix[:200]!r} with page after page, and named "
                f"nothing for {NAMELESS_SECONDS:g} s"
            ) from None

    async def _list_in_turns(
        self, prefix: str, offset: str
    ) -> AsyncGenerator["ObjectMeta | BadKey", None]:
        """As `list`; what is refused on the way is tried once more."""
        after, refused_after = offset, None
        while True:
            try:
                with self._blaming(self._lists, partial(self._list_some, prefix, after)):
                    async for found in self._list(prefix, after):
                        yield found
                        after = found.following if isinstance(found, BadKey) else found["path"]
            except ObjectRefused as refusal:
                if refused_after == after:
                    raise
                refused_after = after
                with self._blaming(self._lists, partial(self._list_some, prefix, after)):
                    await self._lists.judge.prove(refusal)
            else:
                return

    async def ask(self) -> None:
        """A sign of life: what succeeded last, or what was refused, is tried once more.

        Raises:
            Unreachable: none yet.
        """
        await self._asked.ask()

    async def _read(self, attempt: Callable[[], Awaitable[T]], key: str) -> T:
        with self._blaming(self._reads, partial(self._sample, key)):
            try:
                return await self._reads.judge.call(attempt)
            except _Missing as missing:
                raise Gone(str(missing)) from None

    async def _get(self, key: str, check: "Callable[[ObjectMeta], None]") -> bytes:
        try:
            answer = await obstore.get_async(self._store, key)
        except (BaseError, OSError) as error:
            raise self._explain(error, key) from None
        self._hear()
        check(answer.meta)
        try:
            if answer.meta["size"] <= PIECE_BYTES:
                content = bytes(await answer.bytes_async())
            else:
                pieces = []
                async for piece in answer.stream(PIECE_BYTES):
                    self._hear()
                    pieces.append(piece)
                content = b"".join(pieces)
        except (BaseError, OSError):  # the server has answered: it may be this object's fault
            raise self._broken_off(key) from None
        self._succeeded(key)
        return content

    async def _open(self, key: str) -> "ObjectMeta":
        """As a HEAD request, whose refusals would carry no reason."""
        try:
            meta = (await obstore.get_async(self._store, key)).meta
        except (BaseError, OSError) as error:
            raise self._explain(error, key) from None
        self._hear()
        self._succeeded(key)
        return meta

    def _succeeded(self, key: str) -> None:
        self._reads.succeeded(key, partial(self._sample, key))

    async def _sample(self, key: str) -> None:
        """Read an object, or the first piece of one that is large: a header alone says nothing of
        whether bytes come."""
        try:
            answer = await obstore.get_async(self._store, key)
        except (BaseError, OSError) as error:
            raise self._explain(error, key) from None
        try:
            async for _ in answer.stream(PIECE_BYTES):
                self._hear()
                break
        except (BaseError, OSError):
            raise self._broken_off(key) from None

    def _hear(self) -> None:
        self.heard_at = time.monotonic()

    async def _list(self, prefix: str, after: str) -> AsyncIterator["ObjectMeta | BadKey"]:
        """As `list`, where nothing is judged."""
        while True:
            stream = obstore.list(self._store, prefix or None, offset=after or None)
            page = partial(self._list_some, prefix, after)
            try:
                async for chunk in _each_in_time(stream):
                    self._lists.succeeded(prefix, page)
                    for meta in chunk:
                        yield meta
                        after = meta["path"]
                break
            except InvalidPathError as error:
                bad = bad_key(error)
                if bad is None:
                    raise self._unlisted(error) from None
            except (BaseError, OSError) as error:
                raise self._unlisted(error) from None
            async for meta in self._before(bad, prefix, after):
                yield meta
            yield bad
            after = bad.following
        self._lists.succeeded(prefix, partial(self._list_some, prefix, after))

    async def _before(self, bad: BadKey, folder: str, after: str) -> AsyncIterator["ObjectMeta"]:
        """What lies below a folder behind `after` and before a bad key, which hides it in listings
        of the whole: folder by folder, as far as none of them holds a bad key itself."""
        try:
            async with asyncio.timeout(NAMELESS_SECONDS):
                listed = await obstore.list_with_delimiter_async(self._store, folder or None)
        except InvalidPathError:
            return
        except TimeoutError:
            raise _Endless from None
        except (BaseError, OSError) as error:
            raise self._unlisted(error) from None
        here: dict[str, ObjectMeta | None] = {meta["path"]: meta for meta in listed["objects"]}
        here |= {f"{path}/": None for path in listed["common_prefixes"]}
        for path in sorted(here, key=str.encode):
            meta = here[path]
            if path.encode() > bad.key.encode():
                return
            if meta is not None:
                if path.encode() > after.encode():
                    yield meta
            elif bad.key.startswith(path):
                async for inner in self._before(bad, path[:-1], after):
                    yield inner
            elif path.encode() > after.encode() or after.startswith(path):
                async for other in self._list(path[:-1], after):
                    if not isinstance(other, BadKey):
                        yield other

    async def _list_some(self, prefix: str, after: str) -> None:
        """The first page of a listing."""
        stream = obstore.list(self._store, prefix or None, offset=after or None)
        try:
            async for _ in _each_in_time(stream):
                break
        except (InvalidPathError, _Endless):
            pass  # it answers
        except (BaseError, OSError) as error:
            raise self._unlisted(error) from None

    @contextmanager
    def _blaming(self, kind: "Kind", attempt: Attempt) -> Iterator[None]:
        """What fails in an outage is what is asked for until the bucket is back."""
        try:
            yield
        except Unreachable:
            self._asked, kind.refused = kind, attempt
            raise

    def _unlisted(self, error: Exception) -> FacesError:
        sentence = f"{self.url} cannot be listed"
        return explain(error, sentence, sentence)

    def _broken_off(self, key: str) -> ObjectRefused:
        return ObjectRefused(
            f"{object_uri(self.url, key)}: its bytes break off", f"{self.url}: bytes break off"
        )

    def _explain(self, error: Exception, key: str) -> FacesError:
        uri, of_all = object_uri(self.url, key), f"{self.url} cannot be read"
        if plainly_absent(error):
            return Gone(f"{uri}: there is no such object")
        if isinstance(error, FileNotFoundError):
            refusal = explain(error, f"{uri}: there is no such object", of_all)
            if isinstance(refusal, ObjectRefused):
                return _Missing(str(refusal), refusal.of_all)
            return refusal
        return explain(error, f"{uri} cannot be read", of_all)


async def _each_in_time(stream: AsyncIterator[T]) -> AsyncIterator[T]:
    """What a listing gives. A server that falls silent is given up much earlier, by obstore.

    Raises:
        _Endless: nothing came for too long.
    """
    while True:
        try:
            async with asyncio.timeout(NAMELESS_SECONDS):
                one = await anext(stream, None)
        except TimeoutError:
            raise _Endless from None
        if one is None:
            return
        yield one


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

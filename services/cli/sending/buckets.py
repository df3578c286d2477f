"""Reading pictures out of a bucket, to send them along as those of a folder are."""

import asyncio
import os
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, TypeVar

from services.cli.sending.largest import Largest
from services.ingest.sources.keys import Keys
from services.ingest.sources.walk import is_input
from shared.catalog import PassedOver
from shared.errors import FacesError, Unreachable
from shared.folders.patterns import EVERYTHING, Choice
from shared.identity import display_name
from shared.media import why_not_read
from shared.stores.bad_keys import BadKey
from shared.stores.buckets import Bucket, Buckets, Gone
from shared.stores.opening import ObjectRefused

if TYPE_CHECKING:
    from obstore import ObjectMeta


READ_AHEAD = 8
"""Objects fetched at once: a bucket answers one request in the time of many."""

Picture = tuple[str, bytes]
"""A name, relative to the folder that was given, and the content."""

T = TypeVar("T")


def bucket_pictures(
    url: str,
    largest: Largest,
    refuse: Callable[[str], None],
    choice: Choice = EVERYTHING,
    *,
    not_read: Counter[str],
    tell: Callable[[Mapping[str, PassedOver]], None] = lambda _: None,
) -> Iterator[Picture]:
    """The pictures below a URL such as `s3://BUCKET/FOLDER`, or the one that it names.

    Taken are objects with the extension of a picture, in the store's own order. Calls `refuse`
    with a line for people about each that is larger than `largest` allows or cannot be read, and
    goes on; adds to `not_read` what is of a kind that is not read, by the sentence of each, and
    calls `tell` at the end with what was passed over. Credentials and endpoints come from the
    provider's usual variables (`AWS_*`, ...).

    Raises:
        SettingsError: the URL cannot be used.
        Unreachable: the bucket does not answer, or refuses all.
    """
    bucket, folder = Buckets("the URL of a bucket").of(url)
    keys = Keys(choice)
    waiting: deque[tuple[str, Future[bytes]]] = deque()
    with _beside() as loop:
        found = _found(bucket, folder)
        while one := asyncio.run_coroutine_threadsafe(_next(found), loop).result():
            name, meta = one
            if isinstance(meta, BadKey):
                refuse(meta.sentence)
            elif not keys.takes(name):
                continue
            elif problem := why_not_read(os.fsencode(meta["path"].rpartition("/")[2])):
                not_read[problem.sentence] += 1
            elif told := largest.refuses(meta["size"]):
                refuse(f"{name}: {told}")
            else:
                fetching = bucket.get(meta["path"], _anything)
                waiting.append((name, asyncio.run_coroutine_threadsafe(fetching, loop)))
            if len(waiting) == READ_AHEAD:
                yield from _finished(*waiting.popleft(), refuse)
        while waiting:
            yield from _finished(*waiting.popleft(), refuse)
    tell(keys.passed_over)


async def _found(bucket: Bucket, folder: str) -> AsyncIterator[tuple[str, "ObjectMeta | BadKey"]]:
    """Names, and what is known of the objects in a folder; or of the one picture that it is."""
    try:
        if folder and is_input(os.fsencode(folder.rpartition("/")[2])):
            yield folder.rpartition("/")[2], await bucket.head(folder)
            return
        root = f"{folder}/" if folder else ""
        async with aclosing(bucket.list(folder, "")) as listing:
            async for found in listing:
                key = found.key if isinstance(found, BadKey) else found["path"]
                yield display_name(key.removeprefix(root).encode()), found
    except (Gone, ObjectRefused) as error:
        raise Unreachable(str(error)) from None
    except ValueError:
        raise FacesError(f"{bucket.url}: {folder[:200]!r} is no key of an object") from None


def _anything(_: "ObjectMeta") -> None:
    """Nothing is wrong with an object whose size was listed."""


def _finished(
    name: str, future: "Future[bytes]", refuse: Callable[[str], None]
) -> Iterator[Picture]:
    try:
        yield name, future.result()
    except (Gone, ObjectRefused) as error:
        refuse(f"{name}: cannot be read: {error}")


async def _next(found: AsyncIterator[T]) -> T | None:
    return await anext(found, None)


@contextmanager
def _beside() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that turns beside this thread, where objects are fetched ahead."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_all() -> None:
    """Whoever asked for pictures wants no more."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()

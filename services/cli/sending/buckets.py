"""Reading pictures out of a bucket, to send them along as those of a folder are."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from services.ingest.sources.walk import is_picture
from shared.errors import Unreachable
from shared.stores import first_line, open_bucket
from shared.urls import is_bucket

READ_AHEAD = 8
"""Objects fetched at once: a bucket answers one request in the time of many."""

Picture = tuple[str, bytes]
"""A name, relative to the folder that was given, and the content."""


def bucket_pictures(url: str, limit: int, refuse: Callable[[str], None]) -> Iterator[Picture]:
    """The pictures below a URL such as `s3://BUCKET/FOLDER`, or the one that it names.

    Taken are objects with the extension of a picture, in the store's own order. Calls `refuse`
    with a line for people about each that is larger than `limit` bytes or cannot be read, and goes
    on. Credentials and endpoints come from the provider's usual variables (`AWS_*`, ...).

    Raises:
        SettingsError: the URL cannot be used.
        Unreachable: the bucket cannot be listed.
    """
    parent, _, last = url.rstrip("/").rpartition("/")
    alone = is_picture(os.fsencode(last)) and is_bucket(parent)
    store = open_bucket(parent if alone else url, url)
    names = _alone(store, last, url) if alone else _listed(store, url)
    waiting: deque[tuple[str, Future[bytes]]] = deque()
    with ThreadPoolExecutor(READ_AHEAD) as pool:
        for name, size in names:
            if size > limit:
                refuse(f"{name}: {size:,} bytes, and FACES_INLINE_LIMIT_BYTES allows {limit:,}")
                continue
            waiting.append((name, pool.submit(_fetch, store, name)))
            if len(waiting) == READ_AHEAD:
                yield from _finished(*waiting.popleft(), refuse)
        while waiting:
            yield from _finished(*waiting.popleft(), refuse)


def _listed(store: ObjectStore, url: str) -> Iterator[tuple[str, int]]:
    """Names and sizes of the pictures below the store's root."""
    try:
        for chunk in obstore.list(store):
            for found in chunk:
                if is_picture(os.fsencode(found["path"].rpartition("/")[2])):
                    yield found["path"], found["size"]
    except (BaseError, OSError) as error:
        raise Unreachable(f"{url} cannot be listed: {first_line(error)}") from None


def _alone(store: ObjectStore, name: str, url: str) -> Iterator[tuple[str, int]]:
    try:
        yield name, obstore.head(store, name)["size"]
    except (BaseError, OSError) as error:
        raise Unreachable(f"{url} cannot be read: {first_line(error)}") from None


def _fetch(store: ObjectStore, name: str) -> bytes:
    return bytes(obstore.get(store, name).bytes())


def _finished(
    name: str, future: "Future[bytes]", refuse: Callable[[str], None]
) -> Iterator[Picture]:
    try:
        yield name, future.result()
    except (BaseError, OSError) as error:
        refuse(f"{name}: cannot be read: {first_line(error)}")

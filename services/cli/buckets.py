"""Reading pictures out of a bucket, to send them along as those of a folder are."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from services.ingest.sources.walk import is_picture
from shared.errors import SettingsError, Unreachable
from shared.objects import CONNECT_SECONDS, REQUEST_SECONDS, RETRIES

SCHEMES = ("s3://", "s3a://", "gs://", "az://", "azure://", "abfs://", "abfss://")

READ_AHEAD = 8
"""Objects fetched at once: a bucket answers one request in the time of many."""

Picture = tuple[str, bytes]
"""A name, relative to the folder that was given, and the content."""


def is_bucket(source: str) -> bool:
    """Whether a source is the URL of a bucket, or of a folder or picture in one."""
    return source.startswith(SCHEMES)


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
    store = _opened(parent if alone else url)
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


def _opened(url: str) -> ObjectStore:
    if "@" in urlsplit(url).netloc:
        raise SettingsError(
            "no user or password belongs into the URL of a bucket; give credentials in the "
            "provider's variables, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    try:
        return from_url(
            url,
            client_options={
                "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"),
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "timeout": timedelta(seconds=REQUEST_SECONDS),
            },
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": timedelta(seconds=REQUEST_SECONDS),
            },
        )
    except (BaseError, ValueError, OSError) as error:
        raise SettingsError(f"{url}: {_first_line(error)}") from None


def _listed(store: ObjectStore, url: str) -> Iterator[tuple[str, int]]:
    """Names and sizes of the pictures below the store's root."""
    try:
        for chunk in obstore.list(store):
            for found in chunk:
                if is_picture(os.fsencode(found["path"].rpartition("/")[2])):
                    yield found["path"], found["size"]
    except (BaseError, OSError) as error:
        raise Unreachable(f"{url} cannot be listed: {_first_line(error)}") from None


def _alone(store: ObjectStore, name: str, url: str) -> Iterator[tuple[str, int]]:
    try:
        yield name, obstore.head(store, name)["size"]
    except (BaseError, OSError) as error:
        raise Unreachable(f"{url} cannot be read: {_first_line(error)}") from None


def _fetch(store: ObjectStore, name: str) -> bytes:
    return bytes(obstore.get(store, name).bytes())


def _finished(
    name: str, future: "Future[bytes]", refuse: Callable[[str], None]
) -> Iterator[Picture]:
    try:
        yield name, future.result()
    except (BaseError, OSError) as error:
        refuse(f"{name}: cannot be read: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]

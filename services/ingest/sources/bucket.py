"""Buckets by reference: their pictures are named here, and read by the detectors."""

from collections.abc import Sequence

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from services.ingest.sources.source import STEP, FoundImage, SourceRefused, Step
from services.ingest.sources.walk import is_picture
from shared.errors import SettingsError
from shared.identity import display_name, object_version, reference_id
from shared.messages import SourceMessage
from shared.stores import ObjectRefused, absent, explain, open_bucket
from shared.urls import below, bucket_of, object_uri

SETTING = "FACES_SOURCE_BUCKETS"


class BucketSource:
    """The pictures below a URL such as `s3://bucket/folder`, or the one that it names."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = allowed
        self._stores: dict[str, ObjectStore] = {}

    async def step(self, message: SourceMessage) -> Step:
        """The next pictures in the order of their keys, which every store lists by.

        `position` is the key that was found last; a listing begins behind it anywhere.
        """
        url = message.uri or ""
        bucket, folder = bucket_of(url)
        store = self._store(url, bucket)
        try:
            if folder and is_picture(folder.rpartition("/")[2].encode()):
                meta = await obstore.head_async(store, folder)
                return Step((_found(bucket, meta, folder.rpartition("/")[2]),), None)
            return await self._list(store, bucket, folder, message.position)
        except ValueError:
            raise SourceRefused(
                f"{url[:200]!r} names no object: a key has no '..' and no empty part"
            ) from None
        except (BaseError, OSError) as error:
            if absent(error):
                raise SourceRefused(f"{url}: there is no such object") from None
            explained = explain(error, f"{url} cannot be listed")
            if isinstance(explained, ObjectRefused):
                raise SourceRefused(str(explained)) from None
            raise explained from None

    async def _list(self, store: ObjectStore, bucket: str, folder: str, after: str) -> Step:
        found: list[FoundImage] = []
        root = folder + "/" if folder else ""
        async for chunk in obstore.list(store, folder or None, offset=after or None):
            for meta in chunk:
                key = meta["path"]
                if not is_picture(key.rpartition("/")[2].encode()):
                    continue
                found.append(_found(bucket, meta, key.removeprefix(root)))
                if len(found) == STEP:
                    return Step(tuple(found), key)
        return Step(tuple(found), None)

    def _store(self, url: str, bucket: str) -> ObjectStore:
        """The store of an allowed URL.

        The URL is compared as it stands: keys have no `..`, and one with a percent sign more or
        less is another key.
        """
        if not any(below(url, allowed) for allowed in self._allowed):
            raise SourceRefused(
                f"{url} is not below a bucket of {SETTING}; add it there, or send the bytes with "
                "`faces submit` without --by-reference"
            )
        if bucket not in self._stores:
            try:
                self._stores[bucket] = open_bucket(bucket, SETTING)
            except SettingsError as error:
                raise SourceRefused(str(error)) from None
        return self._stores[bucket]


def _found(bucket: str, meta: "obstore.ObjectMeta", name: str) -> FoundImage:
    uri = object_uri(bucket, meta["path"])
    version = object_version(meta["e_tag"], meta["size"], meta["last_modified"])
    return FoundImage(
        id=reference_id(uri, version),
        name=display_name(name.encode()),
        uri=uri,
        version=version,
        size=meta["size"],
    )

"""Buckets by reference: their pictures are named here, and read by the detectors."""

from collections.abc import Sequence

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from services.ingest.sources.source import (
    STEP,
    FoundImage,
    Listing,
    ReferenceSource,
    SourceRefused,
)
from services.ingest.sources.walk import is_picture
from shared.errors import SettingsError
from shared.identity import display_name, object_version, reference_id
from shared.messages import SourceMessage
from shared.reasons import Reason
from shared.references import BUCKETS
from shared.stores import ObjectRefused, absent, explain, open_bucket
from shared.urls import bucket_of, object_uri


class BucketSource(ReferenceSource):
    """The pictures below a URL such as `s3://bucket/folder`, or the one that it names."""

    scheme = BUCKETS

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(allowed)
        self._stores: dict[str, ObjectStore] = {}

    async def step(self, message: SourceMessage) -> Listing:
        """The next pictures in the order of their keys, which every store lists by.

        `position` is the key that was found last; a listing can begin behind any key.
        """
        url = message.uri or ""
        self.check_allowed(url, url)
        bucket, folder = bucket_of(url)
        store = self._store(bucket)
        try:
            if folder and is_picture(_last(folder).encode()):
                meta = await obstore.head_async(store, folder)
                return Listing([_found(bucket, meta, _last(folder))], None)
            return await _list(store, bucket, folder, message.position)
        except ValueError:
            raise SourceRefused(
                Reason.NOT_A_FILE,
                f"{url[:200]!r} names no object: a key has no '..' and no empty part",
            ) from None
        except (BaseError, OSError) as error:
            if absent(error):
                raise SourceRefused(Reason.GONE, f"{url}: there is no such object") from None
            explained = explain(error, f"{url} cannot be listed")
            if isinstance(explained, ObjectRefused):
                raise SourceRefused(Reason.UNREADABLE, str(explained)) from None
            raise explained from None

    def _store(self, bucket: str) -> ObjectStore:
        if bucket not in self._stores:
            try:
                self._stores[bucket] = open_bucket(bucket, self.scheme.setting)
            except SettingsError as error:
                raise SourceRefused(Reason.SOURCE_REFUSED, str(error)) from None
        return self._stores[bucket]


async def _list(store: ObjectStore, bucket: str, folder: str, after: str) -> Listing:
    found: list[FoundImage] = []
    root = folder + "/" if folder else ""
    async for chunk in obstore.list(store, folder or None, offset=after or None):
        for meta in chunk:
            key = meta["path"]
            if not is_picture(_last(key).encode()):
                continue
            found.append(_found(bucket, meta, key.removeprefix(root)))
            if len(found) == STEP:
                return Listing(found, key)
    return Listing(found, None)


def _last(key: str) -> str:
    return key.rpartition("/")[2]


def _found(bucket: str, meta: "obstore.ObjectMeta", name: str) -> FoundImage:
    uri = object_uri(bucket, meta["path"])
    version = object_version(meta["e_tag"], meta["size"], meta["last_modified"])
    return FoundImage(
        id=reference_id(uri, version),
        name=display_name(name.encode()),
        source_uri=uri,
        source_version=version,
        bytes=meta["size"],
    )

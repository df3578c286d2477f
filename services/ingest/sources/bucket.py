"""Buckets by reference: their pictures are named here, and read by the detectors."""

from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING

from services.ingest.sources.keys import Keys
from services.ingest.sources.source import (
    STEP,
    FoundImage,
    Listing,
    ReferenceSource,
    SourceAway,
    SourceRefused,
)
from services.ingest.sources.walk import EXCLUDED, is_input
from shared import fields
from shared.catalog import PassedOver
from shared.errors import SettingsError, Unreachable
from shared.folders.patterns import Choice
from shared.identity import display_name, object_version, reference_id
from shared.media import why_not_read
from shared.messages import SourceMessage
from shared.reasons import Failure, Reason
from shared.references import BUCKETS, is_allowed
from shared.stores.bad_keys import BadKey
from shared.stores.buckets import Bucket, Buckets, Gone
from shared.stores.opening import ObjectRefused
from shared.urls import bucket_of, object_uri

if TYPE_CHECKING:
    from obstore import ObjectMeta


class BucketSource(ReferenceSource):
    """The pictures below a URL such as `s3://bucket/folder`, or the one that it names."""

    scheme = BUCKETS

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(allowed)
        self._buckets = Buckets(self.scheme.setting)

    def needs(self, message: SourceMessage) -> str:
        """Its bucket."""
        url = message.uri or ""
        return bucket_of(url)[0] if is_allowed(url, self._allowed) else ""

    async def step(self, message: SourceMessage) -> Listing:
        """The next pictures in the order of their keys, which every store lists by.

        `position` is the key that was found last; a listing can begin behind any key.
        """
        url = message.uri or ""
        self.check_allowed(url, url)
        holder, folder = bucket_of(url)
        choice = Choice(message.exclude, message.include)
        try:
            bucket = await self._open(holder)
        except Unreachable as error:
            raise SourceAway(holder, str(error), partial(self._open, holder)) from None
        try:
            if folder and is_input(_last(folder).encode()):
                if not choice.takes(_last(folder).encode()):
                    return Listing([], None, {EXCLUDED: PassedOver(1)})
                meta = await bucket.head(folder)
                return Listing([_found(bucket.url, meta, _last(folder))], None)
            return await _list(bucket, folder, message.position, choice)
        except ValueError:
            raise SourceRefused(
                Reason.NOT_A_FILE,
                f"{url[:200]!r} names no object: a key has no '..' and no empty part",
            ) from None
        except Gone as gone:
            raise SourceRefused(Reason.GONE, str(gone)) from None
        except ObjectRefused as refusal:
            raise SourceRefused(Reason.UNREADABLE, f"{url}: {refusal}") from None
        except Unreachable as error:
            raise SourceAway(bucket.url, str(error), bucket.ask) from None

    async def _open(self, url: str) -> Bucket:
        """A bucket; Unreachable where a credential is missing here, which is no source's fault."""
        try:
            return self._buckets.of(url)[0]
        except SettingsError as error:
            raise Unreachable(str(error)) from None


async def _list(bucket: Bucket, folder: str, after: str, choice: Choice) -> Listing:
    images: list[FoundImage] = []
    keys = Keys(choice)
    root = folder + "/" if folder else ""
    async with aclosing(bucket.list(folder, after)) as listing:
        async for found in listing:
            if isinstance(found, BadKey):
                images.append(_misnamed(bucket.url, found, found.key.removeprefix(root)))
                position = found.following
            else:
                position = found["path"]
                name = position.removeprefix(root)
                if not keys.takes(name):
                    continue
                images.append(_found(bucket.url, found, name))
            if len(images) >= STEP and len(position) <= fields.URI_LIMIT:
                return Listing(images, position, keys.passed_over)
    return Listing(images, None, keys.passed_over)


def _misnamed(bucket: str, found: BadKey, name: str) -> FoundImage:
    return _unreadable(object_uri(bucket, found.key), name, found.sentence)


def _unreadable(uri: str, name: str, sentence: str) -> FoundImage:
    return FoundImage(
        id=reference_id(uri, ""),
        name=display_name(name.encode()),
        source_uri=uri[: fields.URI_LIMIT],
        problem=Failure(Reason.NOT_A_FILE, sentence),
    )


def _last(key: str) -> str:
    return key.rpartition("/")[2]


def _found(bucket: str, meta: "ObjectMeta", name: str) -> FoundImage:
    uri = object_uri(bucket, meta["path"])
    if len(uri) > fields.URI_LIMIT:  # what S3, GCS and Azure take is a quarter of that
        sentence = f"{meta['path'][:200]!r} cannot be read: its key is too long"
        return _unreadable(uri, name, sentence)
    version = object_version(meta["e_tag"], meta["size"], meta["last_modified"])
    return FoundImage(
        id=reference_id(uri, version),
        name=display_name(name.encode()),
        source_uri=uri,
        source_version=version,
        bytes=meta["size"] if meta["size"] < fields.BYTES_LIMIT else None,  # the server lies
        problem=why_not_read(_last(meta["path"]).encode()),
    )

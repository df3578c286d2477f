"""Opening a picture in a bucket, in the child: allowed, whole, and the version that was listed."""

from functools import lru_cache

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from services.detector.opening import CHANGED, Refused, Rules, TryAgain
from shared.identity import object_version
from shared.stores import ObjectRefused, absent, explain, open_bucket
from shared.urls import below, bucket_of

SETTING = "FACES_SOURCE_BUCKETS"


def open_object(uri: str, version: str, rules: Rules) -> bytes:
    """An object below an allowed bucket; errors as `services.detector.opening.Opener`."""
    if not any(below(uri, allowed) for allowed in rules.buckets):
        raise Refused(f"it is outside of the buckets that {SETTING} allows")
    bucket, key = bucket_of(uri)
    try:
        answer = obstore.get(_store(bucket), key)
        meta = answer.meta
        if (
            version
            and object_version(meta["e_tag"], meta["size"], meta["last_modified"]) != version
        ):
            raise Refused(CHANGED)
        if meta["size"] > rules.max_bytes:
            raise Refused(
                f"{meta['size']:,} bytes; FACES_MAX_FILE_BYTES allows {rules.max_bytes:,}"
            )
        return bytes(answer.bytes())
    except ValueError:
        raise Refused(
            f"{uri[:200]!r} names no object: a key has no '..' and no empty part"
        ) from None
    except (BaseError, OSError) as error:
        if absent(error):
            raise Refused(f"the object {uri} is gone") from None
        explained = explain(error, f"{uri} cannot be read")
        if isinstance(explained, ObjectRefused):
            raise TryAgain(str(explained)) from None  # a permission may be on its way
        raise explained from None


@lru_cache(maxsize=16)
def _store(bucket: str) -> ObjectStore:
    return open_bucket(bucket, SETTING)

"""Opening an object below an allowed bucket."""

from functools import lru_cache

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from services.detector.failures import Refused, TryAgain
from services.detector.references.opener import Rules, changed, too_large
from shared.identity import object_version
from shared.reasons import Reason
from shared.references import BUCKETS, is_allowed
from shared.stores import ObjectRefused, absent, explain, open_bucket
from shared.urls import bucket_of


def open_object(uri: str, version: str, rules: Rules) -> bytes:
    """The bytes of an object below an allowed bucket; see `Opener`."""
    if not is_allowed(uri, rules.allow_list(BUCKETS)):
        raise Refused(
            Reason.NOT_ALLOWED, f"it is outside of the buckets that {BUCKETS.setting} allows"
        )
    bucket, key = bucket_of(uri)
    try:
        answer = obstore.get(_store(bucket), key)
        meta = answer.meta
        if (
            version
            and object_version(meta["e_tag"], meta["size"], meta["last_modified"]) != version
        ):
            raise changed()
        if meta["size"] > rules.max_bytes:
            raise too_large(meta["size"], rules)
        return bytes(answer.bytes())
    except ValueError:
        raise Refused(
            Reason.NOT_A_FILE,
            f"{uri[:200]!r} names no object: a key has no '..' and no empty part",
        ) from None
    except (BaseError, OSError) as error:
        if absent(error):
            raise Refused(Reason.GONE, f"the object {uri} is gone") from None
        explained = explain(error, f"{uri} cannot be read")
        if isinstance(explained, ObjectRefused):
            # A permission may be on its way.
            raise TryAgain(Reason.UNREADABLE, str(explained)) from None
        raise explained from None


@lru_cache(maxsize=16)
def _store(bucket: str) -> ObjectStore:
    return open_bucket(bucket, BUCKETS.setting)

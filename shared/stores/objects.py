"""The object store: pictures in a folder or a bucket, each written whole or not at all."""

import os
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import MemoryStore

from shared.errors import FacesError, SettingsError, Unreachable
from shared.picture_keys import PictureKeys
from shared.stores.backend import Backend, Bucket, StoredObject
from shared.stores.local import LocalStore
from shared.stores.opening import ObjectRefused, absent, explain, open_bucket
from shared.stores.writes import PROBE, Writes
from shared.together import each
from shared.urls import BUCKET_SCHEMES

__all__ = ["ObjectRefused", "Objects", "StoredObject"]

KEY = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", re.ASCII)
KEY_LIMIT = 300

SCHEMES = ("file", "memory", *BUCKET_SCHEMES)

DELETES_AT_ONCE = 16

FOLDER_CHECK_SECONDS = 2.0
BUCKET_CHECK_SECONDS = 5.0


class NoFolder(SettingsError):
    """The folder of a store cannot be made."""


class Objects:
    """One store. Keys are `[A-Za-z0-9_./-]`, without `..`: none leads out of the store's root.

    All methods raise `Unreachable` if the store or the disk does not answer now, `ObjectRefused` if
    it refuses, and ValueError for a key that is not one. No text of theirs holds a credential.
    """

    def __init__(
        self,
        store: Backend,
        place: str,
        folder: Path | None = None,
        writes: Backend | None = None,
    ) -> None:
        """`writes`: the same store, for requests that send much; see `open_bucket`."""
        self._store = store
        self._root = folder
        self._writes = Writes(writes or store, store, place, folder)
        self.place = place
        """The store's root as a URI without credentials; never ends in a slash."""

    @classmethod
    def open(cls, url: str) -> "Objects":
        """Open the store at a URL; a relative `file://` URL is below the working directory.

        Credentials and endpoints come from the usual variables of each provider (`AWS_*`, ...).

        Raises:
            SettingsError: the URL cannot be used, or the folder cannot be made.
        """
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in SCHEMES:
            raise SettingsError(
                "FACES_OBJECTS_URL: write file://FOLDER, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or "
                "az://ACCOUNT/CONTAINER/PREFIX"
            )
        if scheme == "memory":
            return cls(Bucket(MemoryStore()), "memory://")
        if scheme == "file":
            return cls._folder(rest)
        parts = urlsplit(url)
        place = f"{scheme}://{parts.hostname or ''}{parts.path}".rstrip("/")
        reads, writes = (
            Bucket(open_bucket(url, "FACES_OBJECTS_URL", reads=one)) for one in (True, False)
        )
        return cls(reads, place, writes=writes)

    @classmethod
    def open_or_wait(cls, url: str) -> "Objects":
        """As `open`, for a service: a folder that cannot be made yet is waited for.

        Raises:
            Unreachable: it cannot be made now.
            SettingsError: the URL cannot be used.
        """
        try:
            return cls.open(url)
        except NoFolder as error:
            raise Unreachable(str(error)) from None

    @classmethod
    def _folder(cls, path: str) -> "Objects":
        folder = Path(unquote(path) or ".").absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (ValueError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise NoFolder(f"FACES_OBJECTS_URL: {folder}: {reason}") from None
        return cls(LocalStore(folder), "file://" + quote(os.path.normpath(folder)), folder)

    def uri(self, key: str) -> str:
        """The URI of an object, which a person or a program can open."""
        return f"{self.place}/{_checked(key)}"

    async def put(self, key: str, content: bytes) -> None:
        """Write an object, replacing any of this key; readers see it whole or not at all.

        It may take as long as its bytes need, while the store gives signs of life. What the store
        refuses is this object's fault only where another is taken.
        """
        await self._writes.put(_checked(key), content)

    @property
    def check_seconds(self) -> float:
        """How often `check` may be called: one of a bucket is a request, which may cost money."""
        return FOLDER_CHECK_SECONDS if self._root is not None else BUCKET_CHECK_SECONDS

    async def check(self) -> None:
        """See that the store answers, and that it knows us; for readiness.

        Nothing is written, except where this program may only write.
        """
        await self._writes.check()

    async def get(self, key: str) -> bytes | None:
        """An object's content; None where there is none."""
        try:
            return await self._store.get(_checked(key))
        except (BaseError, OSError) as error:
            if absent(error):
                return None
            raise self._explain(error, f"read {key}", "be read") from None

    async def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            await self._store.head(_checked(key))
        except (BaseError, OSError) as error:
            if absent(error):
                return False
            raise self._explain(error, f"look for {key}", "be read") from None
        return True

    async def delete(self, key: str) -> None:
        """Delete an object; that it is not there is no error."""
        try:
            await self._store.delete(_checked(key))
        except (BaseError, OSError) as error:
            if not absent(error):
                raise self._explain(error, f"delete {key}", "delete objects") from None

    async def delete_all(self, keys: Iterable[str]) -> None:
        """Delete many objects, a few at a time."""
        await each(self.delete, keys, DELETES_AT_ONCE)

    async def list(self, prefix: str = "") -> AsyncIterator[StoredObject]:
        """The objects below a folder (`recipe` or `recipe/id`), all of them by default."""
        if prefix:
            _checked(prefix)
        try:
            async for page in self._store.list(prefix):
                for found in page:
                    if found.key.rpartition("/")[2] != PROBE:  # which is nobody's
                        yield found
        except (BaseError, OSError) as error:
            if not absent(error):
                raise self._explain(error, "list objects", "list objects") from None

    async def keys_of(self, picture: PictureKeys) -> set[str]:
        """The keys under which the store may hold anything of a picture, whatever made it."""
        keys = set(picture.all_annotated)
        keys |= {found.key async for found in self.list(picture.folder)}
        for key in picture.old_crops():
            if not await self.exists(key):
                break
            keys.add(key)
        return keys

    def _explain(self, error: Exception, action: str, of_all: str) -> FacesError:
        """As `shared.stores.opening.explain`."""
        store = f"object store {self.place}"
        return explain(error, f"{store} cannot {action}", f"{store} cannot {of_all}")


def _checked(key: str) -> str:
    dotted = any(part in (".", "..") for part in key.split("/"))
    if len(key) > KEY_LIMIT or dotted or not KEY.fullmatch(key):
        raise ValueError(f"not the key of an object: {key[:80]!r}")
    return key

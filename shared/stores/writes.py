"""Writing into the object store: patient while it is alive, and just where it refuses."""

import os
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from obstore.exceptions import BaseError

from shared.errors import FacesError, Unreachable
from shared.stores.backend import Backend
from shared.stores.judge import Judge
from shared.stores.mounts import MountedFolder
from shared.stores.opening import NotNow, ObjectRefused, explain, plainly_absent
from shared.stores.patience import SignOfLife, in_thread, while_alive

PROBE = "faces-probe.jpg"
"""Name, in a folder of the store, of what is written only to see whether objects are taken there.
It is deleted at once; where nothing may be deleted, one of them stays."""

JUDGES_KEPT = 100
"""Of folders of the store; there is one a recipe."""

TAKEN_SECONDS = 5.0
"""A store that took an object so lately need not be asked whether it does."""

NOT_NOW_TIMES = 3
"""An object of which a server says so often in a row that it cannot take it now, while it takes
another each time, is refused."""

NOT_NOW_KEPT = 1000
"""Of so many objects this is counted."""

PROBE_SECONDS = 60.0
"""How often a store that may only be written to is sent a probe to see that it takes objects."""


class Writes:
    """Puts objects into one store.

    A refusal is judged by writing a probe beside its object. To repeat the last write that
    succeeded would bring back a picture that was forgotten since, or one of an earlier generation.
    """

    def __init__(self, store: Backend, reads: Backend, place: str, folder: Path | None) -> None:
        """`reads` are requests that end where the server is silent; `folder` is the store's own."""
        self._store = store
        self._reads = reads
        self._place = place
        self._folder = MountedFolder(folder) if folder is not None else None
        self._judges: dict[str, Judge] = {}
        self._alive = SignOfLife(self._sign, f"object store {place} does not answer")
        self._doubtful = False
        self._not_now: dict[str, int] = {}
        """How often the server could not take an object just after it took another."""
        self._refusal: ObjectRefused | None = None
        """What the last sign of life was, where it was a refusal."""
        self._refused_reads = ""
        """The refusal under which a probe was taken all the same: this program may only write."""
        self._taken_at = self._seen_at = float("-inf")

    async def put(self, key: str, content: bytes) -> None:
        """Write an object; errors as `shared.stores.objects.Objects`."""
        if self._doubtful or self._unseen:  # nothing is sent before there is an answer
            await self._alive()
            self._doubtful = False
        beside = f"{key.partition('/')[0]}/{PROBE}" if "/" in key else PROBE
        judge, put = self._judge(beside), partial(self._put_patiently, key, content)
        try:
            if key in self._not_now:  # is it still all of them?
                await judge.prove(ObjectRefused("", f"object store {self._place} takes nothing"))
            await judge.call(put)
        except NotNow as answer:
            self._doubtful = True
            raise self._counted(key, answer) from None
        except Unreachable:
            self._doubtful = True
            raise
        self._not_now.pop(key, None)
        self._taken_at = time.monotonic()

    def _counted(self, key: str, answer: NotNow) -> FacesError:
        """Whose fault an answer is that may be of all objects, or for ever of this one."""
        times = self._not_now.pop(key, -1) + 1
        self._not_now[key] = times
        if len(self._not_now) > NOT_NOW_KEPT:
            del self._not_now[next(iter(self._not_now))]
        if times < NOT_NOW_TIMES:
            return answer
        return ObjectRefused(f"{answer}; others are taken", str(answer))

    async def check(self) -> None:
        """See that the store answers, and takes objects as far as that can be known for little.

        Raises:
            Unreachable: it does not.
        """
        taken_before = time.monotonic() - self._taken_at
        if taken_before < TAKEN_SECONDS and not self._doubtful:
            return
        try:
            await self._alive()
            if (refusal := self._refusal) is None:
                self._refused_reads = ""
            elif (
                self._doubtful
                or self._refused_reads != str(refusal)
                or taken_before > PROBE_SECONDS
            ):
                # The caller is not known any more; or may only write, and writing says which.
                self._refused_reads = ""
                await self._judge(PROBE).prove(refusal)
                self._refused_reads = str(refusal)
                self._taken_at = time.monotonic()
        except Unreachable:
            self._doubtful = True
            raise
        self._doubtful = False

    @property
    def _unseen(self) -> bool:
        """Whether a volume may be unmounted by now: its empty folder would take pictures."""
        lately = time.monotonic() - self._seen_at < TAKEN_SECONDS
        return self._folder is not None and not lately

    def _judge(self, beside: str) -> Judge:
        """The judge of a folder of the store: permissions may differ between them."""
        if beside not in self._judges:
            if len(self._judges) == JUDGES_KEPT:
                self._judges.clear()
            self._judges[beside] = Judge(partial(self._write_probe, beside))
        return self._judges[beside]

    async def _put_patiently(self, key: str, content: bytes) -> None:
        await while_alive(self._put(key, content), self._alive)

    async def _put(self, key: str, content: bytes) -> None:
        try:
            await self._store.put(key, content)
        except (BaseError, OSError) as error:
            raise self._explain(error, f"write {key}", "be written to") from None

    async def _write_probe(self, key: str) -> None:
        await self._put_patiently(key, b"probe")
        with suppress(FacesError, BaseError, OSError):
            await self._reads.delete(key)

    async def _sign(self) -> None:
        """Any answer at all is a sign of life."""
        if self._folder is not None:
            await in_thread(partial(_see_folder, self._folder))
            self._seen_at = time.monotonic()
        else:
            self._refusal = await self._look()

    async def _look(self) -> ObjectRefused | None:
        """Read what is not there. The server's own words for that show that it knows us; else the
        refusal."""
        try:
            await self._reads.get(PROBE)
        except (BaseError, OSError) as error:
            if not plainly_absent(error):
                explained = self._explain(error, "be used", "be used")
                if isinstance(explained, ObjectRefused):
                    return explained
                raise explained from None
        return None

    def _explain(self, error: Exception, action: str, of_all: str) -> FacesError:
        store = f"object store {self._place}"
        return explain(error, f"{store} cannot {action}", f"{store} cannot {of_all}")


def _see_folder(folder: MountedFolder) -> None:
    """See that a store's folder is there, or make it, and that files can be written into it.

    Raises:
        Unreachable: not now.
    """
    path = folder.folder
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unreachable(f"object store {path}: {error.strerror or error}") from None
    folder.see()
    if not os.access(path, os.W_OK | os.X_OK):
        raise Unreachable(f"object store {path}: no file can be written into it")

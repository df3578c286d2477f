"""Putting pictures into the object store, where detectors do that (`FACES_PICTURES_BY=detector`).

This process does it and not the slots: they need no store, no credentials and no network, and are
at work on the next picture meanwhile.
"""

import time
from collections.abc import Sequence
from functools import partial

from services.detector import metrics
from services.detector.pipe import Reply
from shared.picture_keys import PictureKeys
from shared.stores.objects import ObjectRefused, Objects
from shared.streams.outage import Outage

_PUT_SECONDS = metrics.STEP_SECONDS.labels("put")


class Keeping:
    """Puts what shows the faces of a result under the keys of its image."""

    def __init__(self, objects: Objects, store: Outage) -> None:
        """`store` tells the service's health while the object store is away."""
        self._objects = objects
        self._store = store

    async def put(self, keys: PictureKeys, reply: Reply, pictures: Sequence[bytes]) -> None:
        """Put the pictures of an answer, one after the other; those of other images go beside them.

        An outage of the store is waited out here, with what was found in hand: nothing is searched
        again for it.

        Raises:
            ObjectRefused: the store refuses these pictures, and not whatever it is given.
        """
        if not pictures:
            return
        annotated = (keys.annotated_as(reply.suffix),) if reply.annotated else ()
        began = time.perf_counter()
        named = zip((*annotated, *keys.crops(reply.crops)), pictures, strict=True)
        for key, picture in named:
            try:
                await self._store.until_done(partial(self._objects.put, key, picture))
            except ObjectRefused:  # the store answers, and takes others
                self._store.ready()
                raise
        _PUT_SECONDS.observe(time.perf_counter() - began)

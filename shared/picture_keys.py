"""The keys of a picture's objects in the store: every one of them, and nobody else's.

Whatever writes, checks, lists or deletes an object of a picture asks here. Below a recipe, a
picture has

    RECIPE/ID.jpg           what was drawn; or another suffix of `CONTENT_TYPES`
    RECIPE/ID/crop-N.jpg    one face each, from 0
    RECIPE/ID-N.jpg         the same as written until message version 1; read and deleted only

A new kind of object goes into the folder `RECIPE/ID/`: what deletes a picture lists that folder.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

JPEG, PNG, WEBP, TIFF = "jpg", "png", "webp", "tif"

CONTENT_TYPES = {JPEG: "image/jpeg", PNG: "image/png", WEBP: "image/webp", TIFF: "image/tiff"}
"""What objects of pictures may end with, and what they are then."""

_OWNED = re.compile(
    r"(?P<recipe>[A-Za-z0-9_.-]+)/(?P<image>[0-9a-f]{32})"
    rf"(?:\.(?:{'|'.join(CONTENT_TYPES)})|-\d+\.jpg|/[A-Za-z0-9_.-]+)"
)


@dataclass(frozen=True, order=True)
class PictureKeys:
    """The keys of one picture under one recipe."""

    recipe: str
    image: str

    @classmethod
    def of(cls, key: str) -> Self | None:
        """Whose object this key names; None for what is no object of a picture."""
        found = _OWNED.fullmatch(key)
        return cls(found["recipe"], found["image"]) if found else None

    @property
    def annotated(self) -> str:
        """The picture that shows, or hides, the faces, as a JPEG."""
        return self.annotated_as(JPEG)

    def annotated_as(self, suffix: str) -> str:
        """The same in another format, one of `CONTENT_TYPES`."""
        return f"{self.folder}.{suffix}"

    @property
    def all_annotated(self) -> tuple[str, ...]:
        """The same in every format; a row names one of them at most."""
        return tuple(map(self.annotated_as, CONTENT_TYPES))

    def annotated_in(self, uri: str) -> str:
        """The key that a row's `annotated_uri` names; a JPEG's where it names none of them."""
        return next((key for key in self.all_annotated if uri.endswith(f"/{key}")), self.annotated)

    @property
    def folder(self) -> str:
        """The folder of all other objects, as a prefix to list."""
        return f"{self.recipe}/{self.image}"

    def crops(self, count: int) -> tuple[str, ...]:
        """One key a face, in the order of the faces."""
        return tuple(f"{self.folder}/crop-{n}.jpg" for n in range(count))

    def old_crops(self) -> Iterator[str]:
        """Crops in their first form, without end: they were written without gaps."""
        n = 0
        while True:
            yield f"{self.folder}-{n}.jpg"
            n += 1

    def crop_number(self, key: str) -> int | None:
        """Of which face (from 0) a key names the crop, in either form; None for another key."""
        if not key.startswith(self.folder):
            return None
        found = re.fullmatch(r"(?:/crop)?-(\d{1,9})\.jpg", key[len(self.folder) :])
        return int(found[1]) if found else None

    def is_crop(self, key: str) -> bool:
        """Whether a key names a crop of this picture, in either form."""
        return self.crop_number(key) is not None

    def place_in(self, uri: str) -> str | None:
        """The store's own part of the annotated picture's URI; None where that is not its key."""
        end = f"/{self.annotated_in(uri)}"
        return uri.removesuffix(end) if uri.endswith(end) else None

"""Versions of files that hold a picture the catalog knows: only what is told about it was changed.

A picture is known by where it is and in which version. Whoever writes regions into a file makes a
version of it, and says here first that it is the same picture: then it is found finished when it
is named again, whenever the program that wrote it was killed.

Notes outlive the rows: of a picture that is forgotten they say which it was, as its tombstone does.
"""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk
from shared.catalog.schema import images, same_as
from shared.catalog.texts import safe
from shared.catalog.values import QueuedImage

_KNOWN = select(same_as.c.id, same_as.c.image).where(
    same_as.c.id.in_(bindparam("ids", expanding=True))
)


async def canonical(
    connection: AsyncConnection, named: Sequence[QueuedImage]
) -> Sequence[QueuedImage]:
    """The same images, each under the id that its picture has had from the first."""
    found = (await connection.execute(_KNOWN, {"ids": [image.id for image in named]})).all()
    if not found:
        return named
    known = {row.id: row.image for row in found}
    return [replace(image, id=known.get(image.id, image.id)) for image in named]


async def expect(connection: AsyncConnection, id_: str, image: str) -> None:
    """What is going to be named as `id_` is the picture `image`."""
    if id_ != image:
        columns = {"id": [id_], "image": [image]}
        await bulk.insert(connection, same_as, columns, conflict="replace")


async def set_version(connection: AsyncConnection, image: str, version: str, size: int) -> None:
    """The file of a picture has this version and this size, in bytes, from here on."""
    await connection.execute(
        update(images)
        .where(images.c.id == image, images.c.source_uri.is_not(None))
        .values(source_version=safe(version), bytes=size)
    )


async def is_picture(connection: AsyncConnection, id_: str, image: str) -> bool:
    """Whether what is named as `id_` is the picture `image`."""
    known = await connection.scalar(select(same_as.c.image).where(same_as.c.id == id_))
    return (known or id_) == image

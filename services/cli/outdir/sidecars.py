"""Sidecars: the faces of each picture in OUT/annotated, in a file beside it.

`me.jpg` gets `me.jpg.xmp`, as digiKam and darktable name them: two pictures that differ in nothing
but their extension keep a file each. A sidecar is ours as long as its content is what we wrote. One
that a photo manager changed since (named a face, say) is left alone: that work is not ours to undo.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from services.cli.formats.registry import SIDECARS
from services.cli.outdir.private import check_private
from services.cli.outdir.record import Record
from services.cli.talk import say
from shared.catalog import Catalog, Filter, ImageRow
from shared.errors import FacesError, Unreachable
from shared.folders.folder import NOTHING_THERE, Folder
from shared.picture_keys import PictureKeys
from shared.printing import count


class Written(Enum):
    """What became of a sidecar."""

    NEW = "new"
    SAME = "same"
    KEPT = "kept"
    REFUSED = "refused"


def asked_before(out: Path) -> set[str]:
    """The forms of sidecars that earlier commands wrote in OUT: what is there is kept right."""
    if not Record.file(out).is_file():
        return set()
    with Record.open(Record.file(out)) as record:
        suffixes = record.sidecar_suffixes()
    return {form for form in SIDECARS if f".{form}" in suffixes}


def check_tree(out: Path) -> None:
    """See that OUT has annotated pictures.

    Raises:
        FacesError: no run has put any there, or another user's.
    """
    if not check_private(out) or not Record.file(out).is_file():
        raise FacesError(f"there are no annotated pictures in {out}; make them with `faces run`")


async def write_sidecars(
    out: Path, catalog: Catalog, filter_: Filter, forms: Sequence[str]
) -> bool:
    """Write the sidecars of a filter's pictures, and say how many; who calls holds OUT's lock.

    Whether all are written: a name that the disk refuses stops nothing but itself.

    Raises:
        Unreachable: the disk is full or does not let us write.
    """
    annotated = out / "annotated"
    contents = {form: SIDECARS[form].load() for form in forms}
    done: Counter[Written] = Counter()
    bare = 0
    with Record.open(Record.file(out)) as record:
        try:
            with Folder.open(annotated, make=True, link=False) as tree:
                async for row in catalog.reader.results(filter_):
                    bare += bool(row.faces) and row.annotated_uri is None
                    target = _target(tree, record, row)
                    if target is None:
                        continue
                    for form, content_of in contents.items():
                        content = content_of(row)
                        try:
                            written = write_sidecar(tree, record, target, f".{form}", content)
                        except OSError as error:
                            if error.errno not in NOTHING_THERE:
                                raise
                            written = Written.REFUSED
                        done[written] += 1
                drop_stale_sidecars(tree, record)
        except OSError as error:
            raise Unreachable(f"sidecars in {annotated}: {error.strerror}") from None
    kept = f"; {done[Written.KEPT]:,} that others made or changed were left alone"
    number = f"{count(done[Written.NEW], 'sidecar')} written, {done[Written.SAME]:,} up to date"
    refused = f"; {done[Written.REFUSED]:,} not written, since the disk refuses their names"
    say(number + kept * bool(done[Written.KEPT]) + refused * bool(done[Written.REFUSED]))
    if bare:
        say(
            f"{count(bare, 'picture')} with faces, but no annotated picture to lie beside "
            "(--mode none): --sidecar xmp --beside originals writes beside the originals"
        )
    return not done[Written.REFUSED]


def _target(tree: Folder, record: Record, row: ImageRow) -> str | None:
    """The name of a row's annotated picture, where it has one, with faces and a size."""
    if row.annotated_uri is None or row.source_uri is None or not row.faces:
        return None
    place = record.place(row.source_uri)
    if place is None or place.object != PictureKeys(row.recipe, row.id).annotated_in(
        row.annotated_uri
    ):
        return None
    sized = row.width and row.height
    return place.target if sized and tree.is_file(place.target) else None


def write_sidecar(
    tree: Folder, record: Record, target: str, suffix: str, content: bytes
) -> Written:
    """Write `target` + `suffix`, unless somebody else's file, or a changed one, is there.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    name = target + suffix
    digest = hashlib.sha256(content).digest()
    ours = record.sidecar_digest(name)
    if tree.status(name) is not None:
        there = _digest(tree, name)
        if there == digest:
            if ours != digest:
                record.keep_sidecar(name, target, digest)
            return Written.SAME
        if ours is None or there != ours:
            return Written.KEPT
    tree.write(name, content)
    record.keep_sidecar(name, target, digest)
    return Written.NEW


def drop_stale_sidecars(tree: Folder, record: Record) -> int:
    """Delete our own sidecars whose picture is no longer there; how many there were."""
    stale = record.stale_sidecars()
    for name, digest in stale:
        if _digest(tree, name) == digest:
            tree.unlink(name)
        record.drop_sidecar(name)
    return len(stale)


def _digest(tree: Folder, name: str) -> bytes:
    """Of a file; of what is none, or behind a link, that of nothing."""
    try:
        return hashlib.sha256(tree.read(name)).digest()
    except OSError:
        return b""

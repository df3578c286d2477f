"""`--sidecar json|xmp`: the faces of each picture in OUT/annotated, in a file beside it.

`me.jpg` gets `me.jpg.xmp`, as digiKam and darktable name them: two pictures that differ in
nothing but their extension keep a file each.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from services.cli.formats.export import as_dict
from services.cli.formats.regions import as_xmp
from services.cli.options import Sidecar
from services.cli.outdir.lock import hold
from services.cli.outdir.placed import Placed, Written
from services.cli.places import opened_catalog, whole_id
from shared.catalog import Catalog, Filter, ImageRow
from shared.errors import FacesError, Unreachable


def as_json(row: ImageRow) -> bytes:
    """The row and its faces, as `faces results --format json` gives them."""
    return (json.dumps(as_dict(row), indent=2) + "\n").encode()


FORMS: Mapping[Sidecar, Callable[[ImageRow], bytes]] = {Sidecar.JSON: as_json, Sidecar.XMP: as_xmp}


def asked_before(out: Path) -> set[Sidecar]:
    """The forms of sidecars that earlier commands wrote in OUT: what is there is kept right."""
    if not (out / ".faces" / "layout.db").is_file():
        return set()
    with Placed(out) as placed:
        return {form for form in Sidecar if f".{form.value}" in placed.suffixes()}


async def of_results(
    out: Path, database: str | None, filter_: Filter, forms: Sequence[Sidecar]
) -> None:
    """Write the sidecars of a filter's pictures in OUT, and tell how many.

    Raises:
        FacesError: OUT has no annotated pictures.
    """
    if not (out / ".faces" / "layout.db").is_file():
        raise FacesError(f"there are no annotated pictures in {out}; make them with `faces run`")
    with hold(out, _say):
        async with opened_catalog(out, database) as catalog:
            if filter_.submission is not None:
                filter_ = replace(filter_, submission=await whole_id(catalog, filter_.submission))
            await write_sidecars(out, catalog, filter_, forms)


async def write_sidecars(
    out: Path, catalog: Catalog, filter_: Filter, forms: Sequence[Sidecar]
) -> None:
    """Write the sidecars of a filter's pictures beside them; who calls holds OUT's lock.

    Raises:
        Unreachable: the disk is full or does not let us write.
    """
    done: Counter[Written] = Counter()
    with Placed(out) as placed:
        try:
            async for row in catalog.reader.results(filter_):
                if row.annotated_uri is None or row.source_uri is None or not row.faces:
                    continue
                target = placed.target(row.source_uri, f"{row.recipe}/{row.id}.jpg")
                if target is None or not (row.width and row.height):
                    continue
                for form in dict.fromkeys(forms):
                    content = FORMS[form](row)
                    done[placed.write_sidecar(target, f".{form.value}", content)] += 1
            placed.drop_stale_sidecars()
        except OSError as error:
            raise Unreachable(f"sidecars in {out / 'annotated'}: {error.strerror}") from None
    kept = f"; {done[Written.KEPT]:,} that others made or changed were left alone"
    number = f"{done[Written.NEW]:,} sidecars written, {done[Written.SAME]:,} were right already"
    _say(number + kept * bool(done[Written.KEPT]))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

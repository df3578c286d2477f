"""A grid of what a run found, as one picture.

`python -m bench.contact_sheet OUT PICTURE` reads the catalog and the results of a `faces run`.
"""

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes

from PIL import Image, ImageDraw, ImageFont, ImageOps

from shared.catalog import Catalog, Filter, ImageRow
from shared.messages import Status

COLUMNS = 8
MOST = 80
CELL = 190
CAPTION = 34
GAP = 8

PAPER, INK, FAINT, ALARM = "#ffffff", "#222222", "#8a8f94", "#b3261e"

ORDER = (Status.FACES, Status.NO_FACES, Status.FAILED, Status.QUEUED)


async def read_rows(out: Path, most: int = MOST) -> list[ImageRow]:
    """The first `most` images of the catalog: with faces, without, failed; each by name."""
    catalog = await Catalog.open(f"sqlite:///{out / 'faces.db'}")
    try:
        rows = [row async for row in catalog.reader.results(Filter(), limit=most, faces=False)]
        return sorted(rows, key=lambda row: (ORDER.index(row.status), row.name))
    finally:
        await catalog.close()


def draw_sheet(rows: list[ImageRow]) -> Image.Image:
    """One cell a picture: the annotated one where faces were found, else the original, faint."""
    columns = min(COLUMNS, max(1, len(rows)))
    lines = max(1, -(-len(rows) // columns))
    width, height = CELL + GAP, CELL + CAPTION + GAP
    sheet = Image.new("RGB", (GAP + columns * width, GAP + lines * height), PAPER)
    for place, row in enumerate(rows):
        x, y = GAP + place % columns * width, GAP + place // columns * height
        sheet.paste(_thumbnail(row), (x, y))
        _caption(ImageDraw.Draw(sheet), row, x, y + CELL + 2)
    return sheet


def _thumbnail(row: ImageRow) -> Image.Image:
    uri = row.annotated_uri or row.source_uri or ""
    cell = Image.new("RGB", (CELL, CELL), "#eceff1")
    try:
        with Image.open(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://")))) as opened:
            opened.draft("RGB", (2 * CELL, 2 * CELL))  # a large JPEG is decoded small
            image = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, Image.DecompressionBombError):
        ImageDraw.Draw(cell).line((40, 40, CELL - 40, CELL - 40), ALARM, 6)
        ImageDraw.Draw(cell).line((40, CELL - 40, CELL - 40, 40), ALARM, 6)
        return cell
    image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    if row.status is not Status.FACES:
        image = Image.blend(image, Image.new("RGB", image.size, PAPER), 0.6)
    cell.paste(image, ((CELL - image.width) // 2, (CELL - image.height) // 2))
    return cell


def _caption(draw: ImageDraw.ImageDraw, row: ImageRow, x: int, y: int) -> None:
    said, colour = {
        Status.FACES: ("1 face" if row.face_count == 1 else f"{row.face_count} faces", INK),
        Status.NO_FACES: ("no face", FAINT),
        Status.FAILED: (row.reason, ALARM),
        Status.QUEUED: ("not done", FAINT),
    }[row.status]
    name = "".join(letter if letter.isprintable() else "?" for letter in row.name)
    for line, (text, ink) in enumerate(((name, FAINT), (said, colour))):
        font = ImageFont.load_default(12)
        while draw.textlength(text, font) > CELL and len(text) > 4:
            text = text[:-4].rstrip() + "..."  # noqa: PLW2901 - shortened until it fits
        draw.text((x, y + 15 * line), text, ink, font)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.contact_sheet", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("out", type=Path, help="output folder of a `faces run`")
    parser.add_argument("picture", type=Path, help="file to write, such as sheet.png")
    given = parser.parse_args(arguments)
    if not (given.out / "faces.db").is_file():
        raise SystemExit(f"{given.out}: no faces.db there; name the OUT of a `faces run -o OUT`")
    draw_sheet(asyncio.run(read_rows(given.out))).save(given.picture)
    print(f"contact sheet: {given.picture}")


if __name__ == "__main__":
    main()

"""The sample pictures of the demonstration, and the sheet that shows what was found."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from bench.contact_sheet import CELL, COLUMNS, GAP, draw_sheet
from bench.samples import samples, write_samples
from shared.catalog import ImageRow
from shared.messages import Status, new_token, now
from shared.urls import file_uri

SAMPLES = dict(samples())


def test_there_are_about_forty_each_under_its_own_name() -> None:
    assert 38 <= len(SAMPLES) <= 45


def test_all_can_be_opened_but_one() -> None:
    broken = []
    for name, content in SAMPLES.items():
        try:
            Image.open(io.BytesIO(content)).load()
        except OSError:
            broken.append(name)
    assert broken == ["broken/half a file.jpg"]


def test_all_orientations_show_the_same_upright_picture() -> None:
    first, *others = (
        ImageOps.exif_transpose(Image.open(io.BytesIO(SAMPLES[f"held/orientation {n}.jpg"])))
        for n in range(1, 9)
    )
    for other in others:
        assert other.size == first.size
        difference = ImageOps.grayscale(Image.blend(first, ImageOps.invert(other), 0.5))
        low, high = difference.getextrema()
        assert isinstance(low, int) and isinstance(high, int), "grey has one band"
        assert 110 < low <= high < 145


def test_writing_them_again_leaves_them_untouched(tmp_path: Path) -> None:
    assert write_samples(tmp_path) == len(SAMPLES)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    write_samples(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def row(source: Path, status: Status, **fields: object) -> ImageRow:
    moment = now()
    blank = ImageRow(
        cursor=1,
        id=new_token(),
        recipe="haar-0123456789",
        generation=1,
        submission_id=new_token(),
        source_uri=file_uri(str(source).encode()),
        source_version="",
        name=source.name,
        bytes=None,
        width=None,
        height=None,
        format="",
        status=status,
        face_count=0,
        annotated_uri=None,
        reason="",
        attempts=1,
        consumer="",
        queued_at=moment,
        detected_at=moment,
        committed_at=moment,
        detect_ms=None,
    )
    return replace(blank, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (9, COLUMNS), (0, 1)])
def test_the_sheet_is_a_grid_that_fits_its_pictures(
    tmp_path: Path, count: int, columns: int
) -> None:
    picture = tmp_path / "wide.png"
    Image.new("RGB", (640, 200), "navy").save(picture)
    sheet = draw_sheet([row(picture, Status.FACES, annotated_uri=None, face_count=1)] * count)
    assert sheet.width == GAP + columns * (CELL + GAP)


def test_the_sheet_shows_a_cross_for_what_cannot_be_read(tmp_path: Path) -> None:
    broken = tmp_path / "broken\n.jpg"
    broken.write_bytes(b"no picture")
    sheet = draw_sheet([row(broken, Status.FAILED, reason="truncated " * 20)])
    assert sheet.getpixel((GAP + CELL // 2, GAP + CELL // 2)) == (0xB3, 0x26, 0x1E)

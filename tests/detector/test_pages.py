"""Documents and animations: every page is searched, up to caps, and the row says which."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from services.detector import pages as searching
from services.detector.formats.gif import frame_corners
from services.detector.header import format_of, read_header
from services.detector.models import Detections, Pixels, load
from services.detector.picture import Limits, Processed, process
from shared.messages import FACES_LIMIT, PAGES_COUNTED, PAGES_LIMIT, Kind
from shared.reasons import Reason
from tests.support.pictures import (
    LIMITS,
    ORIENTATION,
    animated,
    astronaut,
    encoded,
    gif_of,
    pixels,
    recipe,
    stored_as,
    tiff_of,
)

BLANK = Image.new("RGB", (512, 400), "teal")
DOCUMENTS: dict[str, dict[str, Any]] = {
    "TIFF": {},
    "GIF": {},
    "WEBP": {"lossless": True},
    "PNG": {},
    "AVIF": {"quality": 100},
}


class Brightest:
    """A model that takes each page that is lighter than a grey for faces, as many as it is told;
    the lighter the page, the better they score."""

    name = "haar"
    overlap = 1.0

    def __init__(self, faces: int = 1) -> None:
        self._faces = faces
        self.asked = 0

    def detect(self, picture: Pixels, min_score: float) -> Detections:
        self.asked += 1
        light = float(picture.mean()) / 255
        count = self._faces if light > 0.5 else 0
        lefts = np.arange(count, dtype=np.float32) % 20
        ones = np.full(count, 4, np.float32)
        boxes = np.stack([lefts, lefts, ones, ones], axis=1)
        return Detections(
            boxes, np.full(count, light, np.float32), np.zeros((count, 0), np.float32)
        )


def shades(*levels: int) -> list[Image.Image]:
    """Pages of one grey each."""
    return [Image.new("RGB", (32, 24), (level, level, level)) for level in levels]


def searched(content: bytes, model: Brightest | None = None, **wanted: Any) -> Processed:
    return process(content, recipe(**wanted), model or Brightest(), LIMITS)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_face_on_a_later_page_is_found_and_that_page_is_the_one_drawn(kind: str) -> None:
    content = animated(kind, [BLANK, BLANK.rotate(180), astronaut()], **DOCUMENTS[kind])
    if kind in ("GIF", "WEBP", "PNG"):  # two frames alike are written as one
        content = animated(kind, [BLANK, astronaut()], **DOCUMENTS[kind])
    done = process(content, recipe(mode="box", min_score=0.6), load("haar", Path()), LIMITS)

    assert (done.status, done.kind) == ("faces", Kind.DOCUMENT)
    assert [page.n for page in done.searched] == list(range(1, done.pages + 1))
    assert {(page.width, page.height) for page in done.searched} == {(512, 400)}
    assert {face.page for face in done.faces} == {done.pages} == {done.annotated_page}
    assert done.annotated is not None
    assert np.abs(pixels(done.annotated) - np.asarray(astronaut(), np.int16)).mean() < 12


@pytest.mark.parametrize(("name", "page"), [("face-on-page-2.tif", 2), ("face-in-frame-2.webp", 2)])
def test_the_faults_that_were_found_are_mended(
    name: str, page: int, sample_data: Path, sample_models: Path
) -> None:
    content = (sample_data.parent / "faults/pictures" / name).read_bytes()
    done = process(content, recipe("yunet"), load("yunet", sample_models), LIMITS)
    assert (done.pages, done.annotated_page, [face.page for face in done.faces]) == (2, 2, [page])


def moving(count: int) -> list[Image.Image]:
    """A square that moves over lines that stay: most of each frame is that of the one before."""
    frames = []
    for n in range(count):
        frame = Image.new("RGB", (64, 48), "white")
        draw = ImageDraw.Draw(frame)
        draw.line((0, 0, 63, 47), fill="black")
        draw.rectangle((n * 5, n * 3, n * 5 + 9, n * 3 + 9), fill="red")
        frames.append(frame)
    return frames


def decoded_pages(content: bytes) -> list[Pixels]:
    pages = format_of(content).pages(content, read_header(content, 10**9))
    assert pages is not None
    found = []
    for page in pages.each():
        assert not isinstance(page, Exception)
        found.append(page.decode())
    assert len(found) == pages.count
    return found


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("GIF", {"disposal": 1}),
        ("GIF", {"disposal": 2}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"lossless": True, "kmin": 100, "kmax": 101}),
        ("PNG", {"blend": 1}),
        ("PNG", {"blend": 1, "disposal": 1}),
        ("PNG", {"blend": 1, "disposal": 2}),
        ("TIFF", {}),
    ],
)
def test_frames_are_composed_as_a_viewer_shows_them(kind: str, options: dict[str, Any]) -> None:
    expected = moving(8)
    found = decoded_pages(animated(kind, expected, **options))
    for frame, shown in zip(found, expected, strict=True):
        assert np.array_equal(frame[:, :, ::-1], np.asarray(shown))


def test_frames_of_a_lossy_sequence_are_in_their_order() -> None:
    expected = moving(6)
    found = decoded_pages(animated("AVIF", expected, quality=95))
    for frame, shown in zip(found, expected, strict=True):
        assert np.abs(frame[:, :, ::-1].astype(int) - np.asarray(shown)).mean() < 5


def test_a_picture_before_the_frames_of_a_png_is_a_page_too() -> None:
    first, *rest = shades(10, 20, 30)
    content = encoded(first, "PNG", save_all=True, append_images=rest, default_image=True)
    assert [int(page[0, 0, 0]) for page in decoded_pages(content)] == [10, 20, 30]


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_file_of_one_page_is_a_picture(kind: str) -> None:
    done = searched(animated(kind, shades(200), **DOCUMENTS[kind]))
    assert (done.kind, done.pages, done.searched, done.annotated_page) == (
        Kind.PICTURE,
        1,
        (),
        None,
    )
    assert [face.page for face in done.faces] == [None]


def test_the_best_faces_of_all_pages_are_kept_with_their_pages_and_crops() -> None:
    content = animated("TIFF", shades(10, 150, 240, 20, 200))
    done = searched(content, mode="solid", crops=True, min_score=0.5)
    assert [face.page for face in done.faces] == [3, 5, 2]
    assert [round(float(pixels(crop).mean())) for crop in done.crops] == [240, 200, 150]
    assert done.annotated_page == 2, "the first page with faces"


def test_no_more_faces_are_kept_of_a_document_than_of_a_picture() -> None:
    done = searched(animated("TIFF", shades(200, 240)), Brightest(1500), crops=True)
    assert len(done.faces) == len(done.crops) == FACES_LIMIT
    assert [face.page for face in done.faces].count(2) == 1500


def test_without_a_mode_nothing_is_drawn_of_any_page() -> None:
    done = searched(animated("TIFF", shades(10, 200)), mode="none")
    assert (len(done.faces), done.annotated, done.annotated_page) == (1, None, None)


def test_pages_are_upright_each_by_its_own_orientation() -> None:
    file = io.BytesIO()
    stored_as(BLANK, 6).save(
        file,
        "TIFF",
        save_all=True,
        append_images=[stored_as(astronaut(), 6)],
        tiffinfo={ORIENTATION: 6},
    )
    done = process(file.getvalue(), recipe(mode="solid"), load("haar", Path()), LIMITS)
    assert (done.width, done.height) == (512, 400)
    assert [(page.width, page.height) for page in done.searched] == [(512, 400)] * 2
    assert done.faces[0].page == 2
    assert 150 < done.faces[0].x + done.faces[0].w / 2 < 280


def with_subfile_type(content: bytes, kinds: Sequence[int]) -> bytes:
    """A TIFF whose first tag of each page says what kind of page it is."""
    file = bytearray(content)
    at = int.from_bytes(file[4:8], "little")
    for kind in kinds:
        entries = int.from_bytes(file[at : at + 2], "little")
        tag = (254).to_bytes(2, "little") + (4).to_bytes(2, "little") + (1).to_bytes(4, "little")
        directory = file[at + 2 : at + 2 + 12 * entries]
        link = file[at + 2 + 12 * entries : at + 6 + 12 * entries]
        # The tag that is replaced is the last: Software, which no decoder needs.
        file[at + 2 : at + 2 + 12 * entries] = (
            tag + kind.to_bytes(4, "little") + bytes(directory[:-12])
        )
        at = int.from_bytes(link, "little")
    return bytes(file)


def software(count: int, levels: Sequence[int]) -> bytes:
    """Pages with a last tag that may be spared."""
    file = io.BytesIO()
    first, *rest = shades(*levels[:count])
    first.save(file, "TIFF", save_all=True, append_images=rest, tiffinfo={0xFDE8: "spare"})
    return file.getvalue()


def test_thumbnails_and_masks_are_not_pages() -> None:
    content = with_subfile_type(software(4, (250, 180, 250, 200)), (1, 0, 4, 2))
    done = searched(content)
    assert (done.kind, done.pages) == (Kind.DOCUMENT, 2)
    assert [(face.page, round(face.score * 255)) for face in done.faces] == [(2, 200), (1, 180)]


def test_a_thumbnail_before_the_only_page_is_passed_over() -> None:
    done = searched(with_subfile_type(software(2, (250, 180)), (1, 0)))
    assert (done.kind, done.pages) == (Kind.PICTURE, 1)
    assert [round(face.score * 255) for face in done.faces] == [180]


def test_a_file_of_thumbnails_only_is_searched() -> None:
    assert searched(with_subfile_type(software(2, (250, 180)), (1, 1))).pages == 2


@pytest.mark.parametrize(
    ("make", "count"), [(tiff_of, 5_000), (gif_of, 10_000)], ids=["TIFF", "GIF"]
)
def test_more_pages_than_the_cap_are_counted_and_told(
    make: Callable[[int], bytes], count: int
) -> None:
    model = Brightest()
    done = searched(make(count), model)
    assert (done.status, done.pages) == ("faces", count)
    assert len(done.searched) == model.asked == PAGES_LIMIT


def test_pages_without_end_are_counted_up_to_a_bound() -> None:
    one = b"\x2c" + bytes(4) + b"\x01\0\x01\0\0" + b"\x02\x02\x44\x01\0"
    start = b"GIF89a\x01\0\x01\0\x80\0\0" + b"\0\0\0\xff\xff\xff"
    assert searched(start + one * 200_000 + b";").pages == PAGES_COUNTED


def test_bytes_between_blocks_are_passed_over_and_the_frame_behind_them_is_found() -> None:
    one = encoded(Image.new("P", (8, 8)), "GIF")
    assert len(list(frame_corners(one[:-1] + bytes(1000) + one[19:]))) == 2


def test_pages_in_a_circle_are_each_searched_once() -> None:
    content = bytearray(tiff_of(3))
    assert content.endswith(bytes(4)), "where the last page would name the next"
    content[-4:] = content[4:8]
    done = searched(bytes(content))
    assert (done.pages, len(done.searched)) == (3, 3)


def test_after_its_time_no_further_page_is_begun() -> None:
    content = animated("TIFF", shades(10, 200, 200))
    done = process(content, recipe(), Brightest(), Limits(10**9, pages_seconds=0))
    assert (done.status, done.pages, [page.n for page in done.searched]) == ("no_faces", 3, [1])


def test_the_pixels_of_all_pages_have_a_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "LARGEST_PAGES", 2)
    content = animated("TIFF", shades(10, 20, 200))
    done = process(content, recipe(), Brightest(), Limits(32 * 24))
    assert (done.pages, len(done.searched)) == (3, 2)


def test_a_page_of_too_many_pixels_fails_alone() -> None:
    content = animated("TIFF", [*shades(200), BLANK, *shades(220)])
    done = process(content, recipe(), Brightest(), Limits(1000))
    assert [face.page for face in done.faces] == [3, 1]
    assert [bool(page.reason) for page in done.searched] == [False, True, False]
    assert "the TIFF claims 512 x 400 pixels" in done.searched[1].reason
    assert (done.searched[1].width, done.status, done.reason) == (None, "faces", "")


def test_a_first_page_of_too_many_pixels_fails_alone_too() -> None:
    content = animated("TIFF", [BLANK, *shades(200)])
    done = process(content, recipe(), Brightest(), Limits(1000))
    assert [face.page for face in done.faces] == [2]
    assert [bool(page.reason) for page in done.searched] == [True, False]
    assert (done.status, done.annotated_page) == ("faces", 2)


def test_an_animation_whose_canvas_is_too_large_is_refused_before_a_frame_is_composed() -> None:
    done = process(animated("GIF", moving(3)), recipe(), Brightest(), Limits(10))
    assert (done.status, done.code) == ("failed", Reason.TOO_MANY_PIXELS)


def test_a_damaged_page_fails_alone() -> None:
    content = bytearray(animated("TIFF", shades(200, 210, 220), compression="tiff_lzw"))
    offset = int.from_bytes(content[4:8], "little")
    entries = int.from_bytes(content[offset : offset + 2], "little")
    second = int.from_bytes(content[offset + 2 + 12 * entries :][:4], "little")
    content[second + 2 : second + 40] = b"\xff" * 38
    done = searched(bytes(content))
    assert [bool(page.reason) for page in done.searched] == [False, True, False]
    assert "the TIFF is damaged" in done.searched[1].reason
    assert [face.page for face in done.faces] == [3, 1]


def test_frames_behind_the_end_of_a_cut_animation_are_given_up_and_the_others_count() -> None:
    whole = animated("GIF", moving(40))
    done = process(whole[: len(whole) // 2], recipe(), Brightest(), LIMITS)
    reasons = [page.reason for page in done.searched]
    assert done.status == "faces"
    assert not any(reasons[:10])
    assert done.pages - len(done.searched) <= 3


def test_where_no_page_can_be_searched_the_document_fails_with_the_first_reason() -> None:
    content = animated("TIFF", [BLANK, BLANK])
    page = tiff_of(2, BLANK)
    for document in (content, page):
        done = process(document, recipe(), Brightest(), Limits(1000))
        assert (done.status, done.code) == ("failed", Reason.TOO_MANY_PIXELS)
        assert "512 x 400" in done.reason


class Lacking(Brightest):
    """A model that lacks the memory for some pages."""

    def __init__(self, *pages: int) -> None:
        super().__init__()
        self._pages = pages

    def detect(self, picture: Pixels, min_score: float) -> Detections:
        found = super().detect(picture, min_score)
        if self.asked in self._pages:
            raise MemoryError
        return found


def test_a_page_that_lacks_memory_fails_alone_unless_all_do() -> None:
    content = animated("TIFF", shades(200, 210, 220))
    done = searched(content, Lacking(2))
    assert [page.reason for page in done.searched] == ["", Reason.MEMORY.meaning, ""]
    with pytest.raises(MemoryError):
        searched(content, Lacking(1, 2, 3))


def test_a_frame_outside_of_its_picture_is_not_given_room() -> None:
    frames = gif_of(3)
    second = frames.index(b"\x2c", frames.index(b"\x2c") + 1)
    content = bytearray(frames)
    content[second + 5 : second + 9] = b"\xff\xff\xff\xff"
    done = searched(bytes(content))
    assert (done.pages, len(done.searched)) == (3, 2)
    assert "frame 2 of the GIF lies outside" in done.searched[1].reason


def test_a_document_asks_for_no_further_picture_while_it_decodes() -> None:
    asked: list[bool] = []
    process(
        animated("TIFF", shades(10, 20)), recipe(), Brightest(), LIMITS, lambda: asked.append(True)
    )
    assert asked == []

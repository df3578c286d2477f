"""A closed cell takes nothing from a picture: what is found and drawn inside is what is outside."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from services.detector.formats import READABLE
from services.detector.models import load, pull
from services.detector.picture import process
from services.detector.pipe import Config, Reply, Request
from services.detector.processed import Processed
from services.detector.slots import Slots, open_slots
from shared.messages import Status
from shared.model_table import MODELS
from shared.reasons import Reason
from shared.recipe import Mode, Recipe
from tests.detector.test_decode import FILES
from tests.support.jpeg_xl_pictures import jpeg_xl, jpeg_xl_of
from tests.support.kernel_without import children_on
from tests.support.pictures import (
    EXIF_BLOCK,
    GPS,
    LIMITS,
    ORIENTATION,
    animated,
    astronaut,
    encoded,
    recipe,
    stored_as,
)
from tests.support.psd_pictures import psd
from tests.support.raw_pictures import dng
from tests.support.transparent import TRANSPARENT


def three(kind: str) -> bytes:
    """An animation, or a document: a face, nothing, and the face turned round."""
    turned = astronaut().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return animated(kind, [astronaut(), Image.new("RGB", (512, 400)), turned])


def told_much(kind: str = "JPEG") -> bytes:
    """A picture that is stored turned, with EXIF, a place, a date and a colour profile."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif.get_ifd(EXIF_BLOCK)[36867] = "2019:06:01 12:00:00"
    exif.get_ifd(GPS)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return encoded(stored_as(astronaut(), 6), kind, exif=exif.tobytes(), icc_profile=profile)


def damaged(kind: str) -> bytes:
    noise = np.random.default_rng(7).integers(0, 256, (96, 128, 3), np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    return content[: len(content) // 2]


PICTURES: dict[str, Callable[[], bytes]] = {
    **FILES,
    **{
        f"{kind} of three": partial(three, kind)
        for kind in ("TIFF", "GIF", "WEBP", "AVIF", "HEIF", "PNG")
    },
    **{f"{kind}, transparent": make for kind, make in TRANSPARENT.items()},
    "JPEG that tells much": told_much,
    "HEIC that tells much": partial(told_much, "HEIF"),
    "TIFF of JPEG": lambda: encoded(astronaut(), "TIFF", compression="jpeg"),
    "TIFF deflated": lambda: encoded(astronaut(), "TIFF", compression="tiff_adobe_deflate"),
    "TIFF of floats": lambda: encoded(
        Image.fromarray(np.asarray(astronaut().convert("F")) / 255), "TIFF"
    ),
    "PSD": lambda: psd(astronaut()),
    "PSB of inks": lambda: psd(astronaut().convert("CMYK"), wide=True, bits=16),
    "JPEG XL of 16 bits": lambda: jpeg_xl(astronaut(), deep=True),
    "JPEG XL of a JPEG": lambda: jpeg_xl_of(told_much()),
    "JPEG XL cut off": lambda: jpeg_xl(astronaut())[:5000],
    "camera raw": lambda: dng(astronaut()),
    "camera raw with a preview": lambda: dng(astronaut(), preview=astronaut()),
    "camera raw halved": lambda: dng(astronaut().resize((3328, 2600))),
    **{
        f"{kind} cut off": partial(damaged, kind)
        for kind in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "GIF", "BMP", "JPEG2000", "PPM")
    },
    "nothing": lambda: b"",
    "no picture": lambda: b"a letter",
}


@asynccontextmanager
async def confined(model: str, models_dir: Path) -> AsyncIterator[Slots]:
    """A child that may start only in a whole cell."""
    config = Config(
        model=model,
        models_dir=models_dir,
        memory_bytes=3 << 30,
        max_pixels=LIMITS.max_pixels,
        max_file_bytes=1 << 28,
        cell_required=True,
    )
    async with open_slots(config, 1, 600) as slots:
        yield slots


async def asked(slots: Slots, wanted: Recipe, content: bytes) -> tuple[Reply, tuple[bytes, ...]]:
    answer = await slots.ask(Request(recipe=wanted), content)
    return answer.reply, answer.pictures


def agrees(reply: Reply, pictures: tuple[bytes, ...], done: Processed) -> bool:
    """Whether what came out of a cell is what comes out without one."""
    outside = (Status(done.status), done.reason, done.faces, done.searched, done.taken)
    inside = (reply.status, reply.reason, reply.faces, reply.searched, reply.taken)
    drawn = () if done.annotated is None else (done.annotated,)
    return reply.kind == "done" and inside == outside and pictures == (*drawn, *done.crops)


def test_every_format_is_tried() -> None:
    assert {one for one in READABLE if any(kind.startswith(one) for kind in PICTURES)} == {
        *READABLE
    }


async def test_every_kind_of_file_comes_out_of_a_cell_as_without_one(tmp_path: Path) -> None:
    haar = load("haar", tmp_path)
    wanted = recipe(crops=True)
    wrong = []
    async with confined("haar", tmp_path) as slots:
        for kind, content in ((kind, make()) for kind, make in PICTURES.items()):
            reply, pictures = await asked(slots, wanted, content)
            if not agrees(reply, pictures, process(content, wanted, haar, LIMITS)):
                wrong.append(f"{kind}: {reply.kind} {reply.status} {reply.reason}")
        assert not wrong
        assert len(slots.pids) == 1


async def test_faces_are_hidden_in_every_way_in_a_cell(tmp_path: Path) -> None:
    haar = load("haar", tmp_path)
    content = told_much()
    async with confined("haar", tmp_path) as slots:
        for mode in Mode:
            wanted = recipe(mode=mode, crops=True, keep_location=True)
            reply, pictures = await asked(slots, wanted, content)
            assert reply.faces
            assert agrees(reply, pictures, process(content, wanted, haar, LIMITS)), mode


@pytest.mark.parametrize("kind", ["PNG", "WebP", "TIFF", "GIF", "BMP"])
async def test_pictures_are_written_in_their_own_format_in_a_cell(
    kind: str, tmp_path: Path
) -> None:
    haar = load("haar", tmp_path)
    content = TRANSPARENT[kind]()
    wanted = recipe(format="same", mode=Mode.BLUR)
    async with confined("haar", tmp_path) as slots:
        reply, pictures = await asked(slots, wanted, content)
    done = process(content, wanted, haar, LIMITS)
    assert reply.suffix == done.suffix != "jpg"
    assert agrees(reply, pictures, done)


async def test_another_model_than_the_first_is_loaded_in_a_closed_cell(
    sample_models: Path, tmp_path: Path
) -> None:
    shutil.copy(sample_models / MODELS["yunet"].file, tmp_path)
    for first, then in (("yunet", "haar"), ("haar", "yunet")):
        async with confined(first, tmp_path) as slots:
            for model in (first, then):
                reply, _ = await asked(slots, recipe(model), FILES["JPEG"]())
                assert (reply.status, reply.reason) == (Status.FACES, ""), (first, model)


async def test_centerface_works_in_a_cell(tmp_path: Path) -> None:
    pull("centerface", tmp_path, lambda _: None)
    async with confined("centerface", tmp_path) as slots:
        reply, pictures = await asked(slots, recipe("centerface", crops=True), FILES["JPEG"]())
    assert (reply.status, reply.reason, len(pictures)) == (Status.FACES, "", 2)


async def test_weights_that_come_after_the_cell_was_closed_ask_for_a_restart(
    sample_models: Path, tmp_path: Path
) -> None:
    async with confined("haar", tmp_path) as slots:
        shutil.copy(sample_models / MODELS["yunet"].file, tmp_path)
        reply, _ = await asked(slots, recipe("yunet"), FILES["JPEG"]())
    assert (reply.kind, reply.code) == ("retry", Reason.NO_MODEL)
    assert "restart the detector" in reply.reason


@pytest.mark.parametrize("layer", ["landlock", "seccomp"])
async def test_pictures_are_searched_also_where_a_layer_is_missing(
    layer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    children_on(monkeypatch, tmp_path, layer)
    config = Config(
        model="haar",
        models_dir=tmp_path,
        memory_bytes=3 << 30,
        max_pixels=LIMITS.max_pixels,
        max_file_bytes=1 << 28,
    )
    async with open_slots(config, 1, 600) as slots:
        for kind in ("JPEG", "AVIF of three", "PNG of three"):
            reply, _ = await asked(slots, recipe(), PICTURES[kind]())
            assert reply.faces, kind

"""Files that would cost more than their pixels: refused before they do; ordinary extremes pass."""

import io
import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.detector.formats.avif_items import largest_coded
from services.detector.formats.chunks import CHUNKS, PACKED_TEXTS
from services.detector.formats.gif import BETWEEN_BYTES, BLOCKS
from services.detector.formats.jpeg_segments import SCANS, SEGMENTS
from services.detector.formats.tiff import PIECES
from services.detector.header import read_header
from services.detector.picture import process
from services.detector.pipe import Config, Request
from services.detector.slots import open_slots
from shared.messages import Status
from shared.reasons import Reason
from shared.recipe import Mode
from tests.fuzz.targets.decoders import children_of
from tests.support import bombs
from tests.support import container_bombs as containers
from tests.support.fuzzed import NoFaces
from tests.support.heic_pictures import grid
from tests.support.jpeg_xl_pictures import header_of_jpeg_xl, jpeg_xl_of
from tests.support.pictures import LIMITS, animated, astronaut, encoded, recipe

CPU_SECONDS = 1.0
"""What a refusal takes at the most; most take a thousandth."""

TOO_COMPLEX: dict[str, Callable[[], bytes]] = {
    "jpeg scans": lambda: bombs.jpeg_of_scans(SCANS + 1),
    "jpeg scans, arithmetic": lambda: bombs.jpeg_of_scans(SCANS + 1, marker=0xCA),
    "jpeg segments": lambda: bombs.jpeg_with(bombs.segment(0xE5, b"") * (SEGMENTS + 1)),
    "jpeg comments": lambda: bombs.jpeg_with(bombs.segment(0xFE, b"") * (SEGMENTS + 1)),
    "jpeg tables between scans": lambda: (
        bombs.jpeg_of_scans(2)[:-2]
        + (bombs.segment(0xC4, b"") * 50 + b"\xff\xda\0\2") * SCANS
        + bombs.segment(0xC4, b"") * SEGMENTS
    ),
    "png chunks": lambda: bombs.png_with(bombs.chunk(b"abCd") * CHUNKS),
    "png pieces": lambda: bombs.png_with(bombs.chunk(b"IDAT") * CHUNKS),
    "png texts": lambda: bombs.png_with(
        bombs.chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 20))) * (PACKED_TEXTS + 1)
    ),
    "webp chunks": lambda: bombs.webp_with(b"ABCD\0\0\0\0" * CHUNKS),
    "gif comments": lambda: bombs.gif_with(b"\x21\xfe\1a\0" * (BLOCKS // 2)),
    "gif blocks": lambda: bombs.gif_with(b"\x21\xfe" + b"\1a" * BLOCKS + b"\0"),
    "gif gaps": lambda: bombs.gif_with(bytes(2 * BLOCKS + BETWEEN_BYTES)),
    "ppm comment": lambda: b"P6\n#" + b"a" * 20_000 + b"\n8 8\n255\n" + bytes(192),
    "ppm spaces": lambda: b"P6" + b" " * 20_000 + b"8 8\n255\n" + bytes(192),
    "tiff entries": lambda: bombs.tiff_of([(1000 + n, 1, 1, 8) for n in range(5000)]),
    "tiff values over each other": lambda: bombs.tiff_of(
        [(1000 + n, 1, 1 << 20, 8) for n in range(4000)], bytes(1 << 20)
    ),
    "tiff metadata over each other": lambda: bombs.tiff_of(
        bombs.grey_tiff(64, (34665, 4, 1, 8)), bombs.exif_of(4000, 500_000)[8:]
    ),
    "tiff pages": lambda: bombs.tiff_of_pages(500, 4000),
    "tiff strips": lambda: bombs.tiff_of(
        bombs.grey_tiff(1000, (273, 4, PIECES + 1, 8)), bytes(4 * (PIECES + 1))
    ),
    "tiff tiles": lambda: bombs.tiff_of_tiles(450, 16),
    "tiff tile of 40,000 pixels": lambda: bombs.tiff_of(
        bombs.grey_tiff(64, (322, 4, 1, 40_000), (323, 4, 1, 40_000), (324, 4, 1, 8))
    ),
    "tiff samples": lambda: bombs.tiff_of(bombs.grey_tiff(64, (277, 3, 1, 60_000))),
    "jpeg 2000 tiles": lambda: bombs.jpeg_2000(tile=40),
    "jpeg 2000 components": lambda: bombs.jpeg_2000(components=16_384),
    "jpeg 2000 code-blocks": lambda: bombs.jpeg_2000(block=0),
    "jpeg 2000 code-blocks of a tile": lambda: bombs.jpeg_2000(told_again=bombs.coding_of(0)),
    "jpeg 2000 code-blocks of a component": lambda: bombs.jpeg_2000(
        told_again=bombs.segment(0x53, bytes([0, 0, 5, 0, 0, 0, 1]))
    ),
    "jpeg 2000 precincts": lambda: bombs.jpeg_2000(levels=0, precincts=b"\x22"),
    "jpeg 2000 packets": lambda: bombs.jpeg_2000(layers=65_535, precincts=b"\x88" * 6),
    "jpeg 2000 boxes": lambda: encoded(bombs.SMALL, "JPEG2000")[:12] + bombs.box(b"free") * 20_000,
    "heic boxes": lambda: encoded(bombs.SMALL, "HEIF") + bombs.box(b"free") * 20_000,
    "heic of one large tile, often": lambda: grid(
        [Image.new("RGB", (2048, 2048))], 30, (2048, 2048), named=[1] * 900
    ),
    "heic of grids": lambda: grid([bombs.SMALL] * 2, 2, (128, 64), named=[1, 3]),
    "jpeg xl boxes": lambda: jpeg_xl_of(bombs.jpeg()) + bombs.box(b"free") * 20_000,
    "jpeg xl parts": lambda: jpeg_xl_of(bombs.jpeg())[:12] + bombs.box(b"jxlp", bytes(5)) * 2_000,
    "jpeg xl channels": lambda: header_of_jpeg_xl(channels=5),
    "avif boxes": lambda: encoded(bombs.SMALL, "AVIF") + bombs.box(b"free") * 20_000,
    "psb rows": lambda: containers.photoshop(10, 700_000, wide=True),
}

TOO_LARGE: dict[str, Callable[[], bytes]] = {
    "raw of a large sensor": lambda: containers.raw_that_claims(60_000),
    "raw of a large sensor, halved": lambda: containers.raw_that_claims(16_000),
    "psd": lambda: containers.photoshop(30_000, 30_000),
    "psb": lambda: containers.photoshop(300_000, 300_000, wide=True),
    "tiff of floats": lambda: containers.tiff_of_floats(20_000, 32),
    "png that is cut": lambda: containers.png_that_is_cut(12_000),
    "gif that is cut": lambda: containers.gif_that_is_cut(12_000),
}

BOUNDED: dict[str, Callable[[], bytes]] = {
    "raw whose sensor is not in the file": lambda: containers.raw_that_claims(8_000),
    "raw whose preview is not in the file": lambda: containers.raw_whose_preview_claims(15 << 28),
    "raw of directories": lambda: containers.raw_of_directories(5_000),
    "raw that names itself": containers.raw_that_names_itself,
    "raw of tiles": lambda: containers.raw_of_tiles(3_200, 16),
    "psd of channels": lambda: containers.photoshop(
        1_000, 10_000, channels=56, row=containers.packed_row(1_000)
    ),
    "psb of empty rows": lambda: containers.photoshop(10, 600_000, wide=True, row=b""),
    "psb of low rows": lambda: containers.photoshop(
        128, 300_000, wide=True, row=containers.packed_row(128)
    ),
    "tiff of floats": lambda: containers.tiff_of_floats(5_000, 64),
    "tiff of thumbnails": lambda: containers.tiff_of_thumbnails(100_000),
    "tiff that is cut": lambda: containers.tiff_that_is_cut(PIECES),
    "png that is cut": lambda: containers.png_that_is_cut(6_000),
    "gif that is cut": lambda: containers.gif_that_is_cut(6_000),
    "bmp that is cut": lambda: containers.bmp_that_is_cut(6_000),
    "views": lambda: containers.views(3_000, bombs.jpeg()),
}
"""Whatever becomes of them: within `BOUNDED_CPU` and `BOUNDED_BYTES`."""

BOUNDED_CPU = 10.0
"""Seconds. The most is that of 500 views, which are pages: some 8."""

BOUNDED_BYTES = 768 << 20
"""Of a slot in all, of which some 85 MiB are there before."""

LIARS: dict[str, Callable[[], bytes]] = {
    "avif": lambda: bombs.lying("AVIF", b"ispe", 4, 8, 2000, speed=10),
    "heic": lambda: bombs.lying("HEIF", b"ispe", 4, 8, 2000),
    "moving avif": lambda: bombs.moving_avif_that_lies(8, 900),
    "jpeg 2000": lambda: bombs.lying("JPEG2000", b"ihdr", 0, 8, 900),
}


@pytest.mark.parametrize("bomb", TOO_COMPLEX)
def test_what_costs_more_than_its_pixels_fails_before_it_costs_that(bomb: str) -> None:
    content = TOO_COMPLEX[bomb]()
    start = time.process_time()
    done = process(content, recipe(), NoFaces(), LIMITS)
    assert (done.status, done.code) == ("failed", Reason.TOO_COMPLEX), done.reason
    assert "that are searched" in done.reason
    assert time.process_time() - start < CPU_SECONDS


@pytest.mark.parametrize("liar", LIARS)
def test_a_file_whose_pixels_are_more_than_its_container_tells_fails_undecoded(
    liar: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = LIARS[liar]()
    monkeypatch.setattr("services.detector.picture.decode", None)
    done = process(content, recipe(), NoFaces(), LIMITS)
    assert (done.status, done.code) == ("failed", Reason.DAMAGED), done.reason
    assert "8 x 8 pixels and holds " in done.reason


@pytest.mark.parametrize("frames", [1, 2])
def test_sides_longer_than_a_row_can_hold_are_told_in_words_alone(frames: int) -> None:
    content = bytearray(animated("TIFF", [bombs.SMALL] * frames))
    [at] = struct.unpack_from("<I", content, 4)
    [count] = struct.unpack_from("<H", content, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from("<H", content, entry) == (256,):
            struct.pack_into("<HHII", content, entry, 256, 4, 1, 0xFFFF_FFFF)
    done = process(bytes(content), recipe(), NoFaces(), LIMITS)
    told = done.searched[0].reason if done.searched else done.reason
    assert "4294967295 x" in told and (done.width, done.height) == (0, 0)


@pytest.mark.parametrize("bomb", TOO_LARGE)
def test_a_size_of_too_many_pixels_is_refused_undecoded(
    bomb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = TOO_LARGE[bomb]()
    monkeypatch.setattr("services.detector.picture.decode", None)
    start = time.process_time()
    done = process(content, recipe(), NoFaces(), LIMITS)
    assert (done.status, done.code) == ("failed", Reason.TOO_MANY_PIXELS), done.reason
    assert time.process_time() - start < CPU_SECONDS


def used_by(child: int) -> float:
    """Seconds of CPU of a process (proc(5): utime and stime)."""
    fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


async def test_files_of_containers_stay_within_time_and_memory_in_a_slot(tmp_path: Path) -> None:
    config = Config(
        model="haar",
        models_dir=tmp_path,
        memory_bytes=1 << 30,
        max_pixels=LIMITS.max_pixels,
        max_file_bytes=256 << 20,
    )
    async with open_slots(config, 1, 600) as slots:
        (child,) = slots.pids
        for name, make in BOUNDED.items():
            before = used_by(child)
            reply = (await slots.ask(Request(recipe=recipe(mode=Mode.NONE)), make())).reply
            assert reply.kind == "done", name
            assert used_by(child) - before < BOUNDED_CPU, name
            peaks = dict(children_of(os.getpid()))
            assert peaks[child] < BOUNDED_BYTES, (name, peaks[child] >> 20)


async def test_a_slot_survives_all_of_them_and_names_each_cap(tmp_path: Path) -> None:
    config = Config(
        model="haar",
        models_dir=tmp_path,
        memory_bytes=1 << 30,
        max_pixels=LIMITS.max_pixels,
        max_file_bytes=256 << 20,
    )
    async with open_slots(config, 1, 60) as slots:
        before = slots.pids
        for name, make in (TOO_COMPLEX | LIARS).items():
            reply = (await slots.ask(Request(recipe=recipe()), make())).reply
            assert (reply.kind, reply.status) == ("done", Status.FAILED), name
        ended = await slots.ask(Request(recipe=recipe()), encoded(astronaut(), "PNG"))
        assert ended.reply.status is Status.FACES
        assert slots.pids == before


def test_a_page_that_costs_too_much_fails_alone() -> None:
    content = bytearray(animated("TIFF", [bombs.SMALL] * 3))
    first = int.from_bytes(content[4:8], "little")
    entries = int.from_bytes(content[first : first + 2], "little")
    second = int.from_bytes(content[first + 2 + 12 * entries :][:4], "little")
    content[second : second + 2] = b"\xff\xff"  # claims entries up to the end, and beyond
    done = process(bytes(content), recipe(), NoFaces(), LIMITS)
    assert done.status == "no_faces"
    assert [bool(page.reason) for page in done.searched][:2] == [False, True]
    assert "65,535 entries in a directory" in done.searched[1].reason


def with_profile(size: int) -> bytes:
    profile = bytearray(os.urandom(size))
    profile[16:20] = b"RGB "
    return encoded(astronaut(), "JPEG", icc_profile=bytes(profile))


def jpeg_with_much_behind_its_end() -> bytes:
    """As a motion photo or an MPF file is, whose other pictures are no scans of this one."""
    return bombs.jpeg(progressive=True) + bombs.jpeg(progressive=True) * 100


def jpeg_with_restarts() -> bytes:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 255, (400, 400, 3), np.uint8))
    file = io.BytesIO()
    noise.save(file, "JPEG", quality=95, restart_marker_blocks=1, progressive=True)
    return file.getvalue() + b"\xff\xda" * 1000


ORDINARY: dict[str, Callable[[], bytes]] = {
    "jpeg of 64 scans": lambda: bombs.jpeg_of_scans(64),
    "jpeg of as many scans as may be": lambda: bombs.jpeg_of_scans(SCANS),
    "jpeg with pictures behind its end": jpeg_with_much_behind_its_end,
    "jpeg with restarts": jpeg_with_restarts,
    "jpeg with bytes that fill up": lambda: bombs.jpeg_with(b"\xff" * 20_000_000),
    "jpeg with a thumbnail of many scans": lambda: bombs.jpeg_with(
        bombs.segment(0xE1, b"Exif\0\0" + bombs.jpeg_of_scans(300)[:60_000])
    ),
    "png of 5,000 chunks of pixels": lambda: bombs.png_of_pieces(5000),
    "tiff of 400 tiles": lambda: bombs.tiff_of_tiles(20, 64),
    "tiff of strips of one row": lambda: encoded(
        Image.new("L", (8, 20_000)), "TIFF", compression="tiff_deflate", tiffinfo={278: 1}
    ),
    "jpeg 2000 of tiles": lambda: encoded(
        Image.new("RGB", (2048, 2048)), "JPEG2000", tile_size=(128, 128)
    ),
    "picture with a profile of 200 KiB": lambda: with_profile(200 << 10),
    "png with a profile": lambda: encoded(bombs.SMALL, "PNG", icc_profile=os.urandom(200 << 10)),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_extremes_are_searched(name: str) -> None:
    done = process(ORDINARY[name](), recipe(), NoFaces(), LIMITS)
    assert (done.status, done.reason) == ("no_faces", "")


def test_metadata_whose_values_lie_over_each_other_are_dropped_and_the_picture_is_searched() -> (
    None
):
    block = b"Exif\0\0" + bombs.exif_of(900, 40_000)
    done = process(bombs.jpeg_with(bombs.segment(0xE1, block)), recipe(), NoFaces(), LIMITS)
    assert done.status == "no_faces"
    assert not read_header(bombs.png_with(bombs.chunk(b"eXIf", block[6:])), 10**6).exif


def test_a_profile_comes_whole_out_of_a_png_and_a_jpeg_and_a_bomb_of_one_is_dropped() -> None:
    profile = os.urandom(200 << 10)
    for kind in ("PNG", "JPEG", "WEBP"):
        content = encoded(bombs.SMALL, kind, icc_profile=profile)
        assert read_header(content, 10**6).icc == profile
    bomb = bombs.chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50 << 20), 9))
    assert read_header(bombs.png_with(bomb * 1000), 10**6).icc == b""


def test_every_coded_picture_of_an_avif_tells_its_size() -> None:
    assert list(largest_coded(encoded(Image.new("RGBA", (90, 50), (1, 2, 3, 4)), "AVIF"))) == [
        (90, 50),
        (90, 50),
    ], "colours and transparency"
    moving = io.BytesIO()
    one, *more = (Image.new("RGB", (90, 50), (n, n, n)) for n in range(0, 250, 50))
    one.save(moving, "AVIF", save_all=True, append_images=more)
    assert set(largest_coded(moving.getvalue())) == {(90, 50)}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "TIFF", "JPEG2000"])
def test_structures_cut_anywhere_are_read_without_an_error_of_ours(kind: str) -> None:
    content = encoded(bombs.SMALL, kind)
    for end in range(1, len(content), max(1, len(content) // 60)):
        done = process(content[:end], recipe(), NoFaces(), LIMITS)
        assert done.code is not Reason.TOO_COMPLEX, (end, done.reason)

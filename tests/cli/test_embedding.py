"""`--embed`: regions in originals themselves, whose pixels stay and which stay the same picture."""

import io
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from services.cli.formats import embedding
from services.cli.formats.embedding import NotEmbeddable, holder_of
from services.cli.outdir.originals import replace_original
from shared.folders.folder import Folder
from tests.cli.test_beside import THEIRS, lies_at, portrait, regions, rows, save
from tests.support.faces_command import Faces

pytestmark = pytest.mark.timeout(300)
"""Several runs a test, each of which starts a server and a detector."""

PACKET = b"<x/>" * 5


def encoded(form: str, mode: str = "RGB", **options: object) -> bytes:
    """A small picture in some format."""
    buffer = io.BytesIO()
    Image.effect_noise((40, 30), 90).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded("JPEG"),
    "jpeg, progressive": lambda: encoded("JPEG", progressive=True),
    "jpeg with bytes behind its end": lambda: encoded("JPEG") + b"a film of a phone",
    "png": lambda: encoded("PNG"),
    "webp": lambda: encoded("WEBP"),
    "webp without loss": lambda: encoded("WEBP", "RGBA", lossless=True),
    "webp with metadata": lambda: encoded("WEBP", exif=Image.Exif().tobytes()),
}


def coded(content: bytes) -> bytes:
    """The compressed pixels of a file, and what comes behind them."""
    if content[:2] == b"\xff\xd8":
        return content[content.index(b"\xff\xda") :]
    if content[:4] == b"\x89PNG":
        return content[content.index(b"IDAT") - 4 :]
    start = next(content.index(kind) for kind in (b"VP8 ", b"VP8L") if kind in content)
    return content[start : start + 8 + struct.unpack("<I", content[start + 4 : start + 8])[0]]


def with_packet(content: bytes, packet: bytes | None) -> bytes:
    """A file with this packet instead of its own."""
    holder = holder_of(content)
    return holder.put(content, holder.find(content), packet)


@pytest.mark.parametrize("kind", FILES)
def test_a_packet_is_put_in_replaced_and_taken_out_around_the_same_compressed_pixels(
    kind: str,
) -> None:
    content = FILES[kind]()

    held = with_packet(content, PACKET)
    longer = with_packet(held, PACKET + b"!")

    for file, packet in ((held, PACKET), (longer, PACKET + b"!")):
        assert holder_of(file).find(file).packet == packet
        assert coded(file) == coded(content)
        with Image.open(io.BytesIO(file)) as picture, Image.open(io.BytesIO(content)) as before:
            assert picture.info.get("xmp") == packet
            assert picture.tobytes() == before.tobytes()
    without = with_packet(longer, None)
    assert holder_of(without).find(without).packet is None
    if not kind.startswith("webp"):
        assert without == content


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def chunk(kind: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(kind + body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + kind + body + crc


XMP = b"http://ns.adobe.com/xap/1.0/\0"


@pytest.mark.parametrize(
    ("form", "piece", "why"),
    [
        ("JPEG", segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0 "), "several parts"),
        ("JPEG", segment(0xE2, b"MPF\0"), "several pictures"),
        ("JPEG", segment(0xEB, b"JP\0\1"), "signed"),
        ("JPEG", segment(0xE1, XMP) * 2, "several packets"),
        ("JPEG", b"\xff\xe1\0\0", "damaged"),
        ("PNG", chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"x")), "compressed"),
        ("PNG", chunk(b"zTXt", b"Raw profile type xmp\0\0"), "ImageMagick"),
        ("PNG", chunk(b"caBX", b""), "signed"),
        ("PNG", b"\xff\xff\xff\xffabcd", "damaged"),
        ("GIF", b"", "only JPEG, PNG and WebP"),
    ],
)
def test_what_a_packet_would_make_wrong_is_refused(form: str, piece: bytes, why: str) -> None:
    whole, at = encoded(form), {"JPEG": 2, "PNG": 33}.get(form, 0)
    content = whole[:at] + piece + whole[at:]
    with pytest.raises(NotEmbeddable, match=why):
        holder_of(content).find(content)


def test_a_segment_of_jpeg_holds_no_longer_packet_than_the_specification_allows() -> None:
    most = b" " * embedding.JPEG_PACKET_BYTES
    assert with_packet(encoded("JPEG"), most)
    with pytest.raises(NotEmbeddable, match="longer"):
        with_packet(encoded("JPEG"), most + b" ")


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_cut_anywhere_is_refused_or_keeps_what_it_has(kind: str) -> None:
    content = with_packet(FILES[kind](), PACKET)
    for end in range(12, len(content)):
        cut = content[:end]
        try:
            made = with_packet(cut, PACKET + b"!")
        except NotEmbeddable:
            continue
        assert kind.startswith("jpeg")
        assert coded(made) == coded(cut)


@pytest.fixture
def faces(tmp_path: Path) -> Faces:
    """The command, in an empty folder, with the model that needs no download."""
    return Faces(tmp_path, FACES_MODEL="haar")


EMBED = ("--mode", "none", "--sidecar", "xmp", "--beside", "originals", "--embed")


def run(faces: Faces, *more: str) -> str:
    """Run on `photos`; all that it says."""
    done = faces("run", "photos", "-o", "out", *more)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_exiftool_reads_regions_inside_originals_in_all_orientations(
    faces: Faces, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    for orientation in range(1, 9):
        save(portrait(orientation * 9, 20), photos / f"{orientation}.jpg", orientation)
    portrait(30, 10).save(photos / "1.png")
    portrait(30, 10).save(photos / "1.webp", quality=95)

    assert "regions written into 10 originals" in run(faces, *EMBED)

    assert not list(photos.glob("*.xmp"))
    read = regions(*photos.iterdir())
    for name, row in rows(faces).items():
        assert len(read[name]["RegionList"]) == len(row["faces"]) > 0
        size = read[name]["AppliedToDimensions"]
        for region, face in zip(read[name]["RegionList"], row["faces"], strict=True):
            x, y, w, h = (region["Area"][side] for side in "XYWH")
            wide, high = size["W"], size["H"]
            told = ((x - w / 2) * wide, (y - h / 2) * high, (x + w / 2) * wide, (y + h / 2) * high)
            assert told == pytest.approx(lies_at(face, int(name[0])), abs=0.3)


def test_an_original_with_regions_inside_is_the_same_picture_to_every_later_run(
    faces: Faces, tmp_path: Path
) -> None:
    original = tmp_path / "photos" / "a.jpg"
    save(portrait(), original, 6)
    original.chmod(0o640)
    before = original.stat()
    pixels = coded(original.read_bytes())

    run(faces, *EMBED)
    written = original.stat()
    said = run(faces, *EMBED)

    assert (written.st_mode, written.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert written.st_size != before.st_size
    assert coded(original.read_bytes()) == pixels
    assert "regions written into 0 originals, 1 up to date" in said
    assert original.stat().st_ino == written.st_ino
    (row,) = all_rows(faces)
    assert row["source_version"] == f"{written.st_size}-{written.st_mtime_ns}"


def test_what_others_wrote_inside_stays_and_forgetting_takes_ours_out(
    faces: Faces, tmp_path: Path
) -> None:
    original = tmp_path / "photos" / "a.jpg"
    save(portrait(), original, 1)
    theirs = with_packet(original.read_bytes(), THEIRS.replace(b"0.25<", b"0.95<"))
    original.write_bytes(theirs)
    run(faces, *EMBED)
    held = original.read_bytes()
    assert b"Anna" in held and b"faces-in-the-cloud" in held

    assert faces("forget", "a.jpg", "-o", "out", "-y").returncode == 0

    left = original.read_bytes()
    assert b"Anna" in left and b"faces-in-the-cloud" not in left
    assert coded(left) == coded(theirs)


def test_forgetting_gives_an_original_that_had_nothing_inside_its_bytes_back(
    faces: Faces, tmp_path: Path
) -> None:
    original = tmp_path / "photos" / "a.jpg"
    save(portrait(), original, 1)
    before = original.read_bytes()
    run(faces, *EMBED)
    assert original.read_bytes() != before
    assert faces("forget", "a.jpg", "-o", "out", "-y").returncode == 0
    assert original.read_bytes() == before
    assert not list(original.parent.glob("*.xmp"))


def test_what_cannot_hold_regions_safely_gets_a_sidecar_and_that_is_counted(
    faces: Faces, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    for name in ("linked.jpg", "other.jpg", "link.jpg"):
        save(portrait(), photos / name, 1)
    portrait().save(photos / "a.bmp")
    (photos / "linked.jpg").rename(tmp_path / "linked.jpg")
    os.link(tmp_path / "linked.jpg", photos / "linked.jpg")
    (photos / "other.jpg.xmp").write_bytes(THEIRS)
    (photos / "link.jpg").rename(tmp_path / "target.jpg")
    (photos / "link.jpg").symlink_to(tmp_path / "target.jpg")
    before = {path: path.read_bytes() for path in (*tmp_path.glob("*.jpg"), photos / "a.bmp")}

    run(faces, *EMBED, "--follow-links")
    said = run(faces, *EMBED, "--follow-links")

    assert "a sidecar instead, 1 picture: only JPEG, PNG and WebP hold regions" in said
    assert "a sidecar instead, 1 picture: the file has several names (hard links)" in said
    assert "a sidecar instead, 1 picture: another program's sidecar is there" in said
    assert {path: path.read_bytes() for path in before} == before
    assert (photos / "a.bmp.xmp").is_file() and (photos / "linked.jpg.xmp").is_file()
    assert (photos / "link.jpg").is_symlink()


def test_a_sidecar_of_ours_goes_once_the_original_holds_its_regions(
    faces: Faces, tmp_path: Path
) -> None:
    original = tmp_path / "photos" / "a.jpg"
    save(portrait(), original, 1)
    run(faces, *EMBED[:-1])
    assert original.with_name("a.jpg.xmp").is_file()
    run(faces, *EMBED)
    assert not original.with_name("a.jpg.xmp").exists()
    said = run(faces, *EMBED[:-1])
    assert "regions written into 0 originals, 1 up to date" in said
    assert not original.with_name("a.jpg.xmp").exists()


def test_an_original_that_changed_since_the_search_is_left_alone(
    faces: Faces, tmp_path: Path
) -> None:
    original = tmp_path / "photos" / "a.jpg"
    save(portrait(), original, 1)
    run(faces, "--mode", "none")
    os.utime(original, (1, 1))
    before = original.read_bytes()
    said = faces("results", "-o", "out", *EMBED[2:]).stderr
    assert "1 original changed or gone since the search" in said
    assert original.read_bytes() == before


def test_a_file_is_replaced_with_its_mode_time_and_attributes_or_stays_as_it_was(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"before")
    file.chmod(0o604)
    os.utime(file, ns=(1_234_567_891, 2_345_678_912))
    try:
        os.setxattr(file, "user.rating", b"5")
    except OSError:
        pytest.skip("this disk keeps no attributes")
    before = file.stat()
    with Folder.open(tmp_path) as folder:
        replace_original(folder, "a.jpg", b"after", before)
        with pytest.raises(OSError, match="has just been changed"):
            replace_original(folder, "a.jpg", b"too late", before)

    assert file.read_bytes() == b"after"
    now = file.stat()
    assert (now.st_mode, now.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert os.getxattr(file, "user.rating") == b"5"
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


KILLED = """
import os, signal, sys
from shared.catalog import Ledger

async def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(Ledger, sys.argv.pop(1), killed)
from services.cli.__main__ import main
sys.argv[0] = "faces"
main()
"""


@pytest.mark.parametrize("at", ["expect_version", "set_version"])
def test_a_kill_before_or_after_the_file_is_written_makes_no_second_picture(
    faces: Faces, tmp_path: Path, at: str
) -> None:
    original = tmp_path / "photos" / "a.jpg"
    save(portrait(), original, 1)
    run(faces, "--mode", "none")
    before = original.read_bytes()
    command = (sys.executable, "-c", KILLED, at, "results", "-o", "out", *EMBED[2:])
    killed = subprocess.run(command, cwd=tmp_path, env=faces.environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (original.read_bytes() != before) == (at == "set_version")

    run(faces, *EMBED)

    (row,) = all_rows(faces)
    now = original.stat()
    assert row["source_version"] == f"{now.st_size}-{now.st_mtime_ns}"
    assert b"faces-in-the-cloud" in original.read_bytes()
    assert faces("redo", "a.jpg", "-o", "out").returncode == 0
    assert [row["status"] for row in all_rows(faces)] == ["faces"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--embed",), "--beside originals"),
        ((*EMBED, "--done-dir", "done"), "leave out --done-dir"),
    ],
)
def test_what_does_not_go_together_is_said(
    faces: Faces, tmp_path: Path, options: tuple[str, ...], why: str
) -> None:
    save(portrait(), tmp_path / "photos" / "a.jpg", 1)
    done = faces("run", "photos", "-o", "out", *options)
    assert done.returncode != 0 and why in done.stderr


def all_rows(faces: Faces) -> list[dict[str, object]]:
    """Every entry of the catalog, also older ones."""
    with sqlite3.connect(faces.folder / "out" / "faces.db") as catalog:
        catalog.row_factory = sqlite3.Row
        return [dict(row) for row in catalog.execute("SELECT * FROM images ORDER BY pk")]

"""What a file may be: any format people have, upright, bounded, or failed with a reason."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from services.detector.decode import decode, reduction
from services.detector.encode import encode_jpeg
from services.detector.formats import FORMATS, READABLE, png, recognised
from services.detector.formats.chunks import png_is_whole
from services.detector.header import BadPicture, Header, read_header
from services.detector.models import Model, Pixels, load
from services.detector.orient import upright
from services.detector.picture import Limits, process
from shared.reasons import Reason
from tests.support.heic_pictures import grid, heic_10_bits, tiles_of
from tests.support.jpeg_xl_pictures import jpeg_xl
from tests.support.pictures import (
    LIMITS,
    ORIENTATION,
    astronaut,
    encoded,
    pixels,
    recipe,
    stored_as,
)
from tests.support.psd_pictures import psd


@pytest.fixture(scope="module")
def haar() -> Model:
    return load("haar", Path())


def rgba() -> Image.Image:
    picture = astronaut().convert("RGBA")
    picture.putalpha(128)
    return picture


def sixteen_bits() -> Image.Image:
    return Image.fromarray(np.asarray(astronaut().convert("L"), np.uint16) * 257)


def colour_sixteen_bits(kind: str) -> bytes:
    pixels16 = np.asarray(astronaut(), np.uint16)[:, :, ::-1] * 257
    return cv2.imencode(kind, pixels16)[1].tobytes()


FILES = {
    "JPEG": lambda: encoded(astronaut(), "JPEG"),
    "JPEG progressive": lambda: encoded(astronaut(), "JPEG", progressive=True),
    "JPEG grey": lambda: encoded(astronaut().convert("L"), "JPEG"),
    "JPEG CMYK": lambda: encoded(astronaut().convert("CMYK"), "JPEG"),
    "PNG": lambda: encoded(astronaut(), "PNG"),
    "PNG palette": lambda: encoded(astronaut().quantize(), "PNG"),
    "PNG grey": lambda: encoded(astronaut().convert("L"), "PNG"),
    "PNG alpha": lambda: encoded(rgba(), "PNG"),
    "PNG 16 bits grey": lambda: encoded(sixteen_bits(), "PNG"),
    "PNG 16 bits": lambda: colour_sixteen_bits(".png"),
    "PNG animated": lambda: encoded(
        astronaut(), "PNG", save_all=True, append_images=[Image.new("RGB", (512, 400))]
    ),
    "WebP": lambda: encoded(astronaut(), "WEBP"),
    "WebP lossless alpha": lambda: encoded(rgba(), "WEBP", lossless=True),
    "WebP animated": lambda: encoded(
        astronaut(), "WEBP", save_all=True, append_images=[Image.new("RGB", (512, 400))]
    ),
    "AVIF": lambda: encoded(astronaut(), "AVIF"),
    "AVIF alpha": lambda: encoded(rgba(), "AVIF"),
    "HEIC": lambda: encoded(astronaut(), "HEIF"),
    "HEIC alpha": lambda: encoded(rgba(), "HEIF"),
    "HEIC grey": lambda: encoded(astronaut().convert("L"), "HEIF"),
    "HEIC 10 bits": lambda: heic_10_bits(astronaut()),
    "HEIC of tiles": lambda: grid(tiles_of(astronaut(), 128), 4, (512, 400)),
    "TIFF": lambda: encoded(astronaut(), "TIFF", compression="tiff_lzw"),
    "TIFF CMYK": lambda: encoded(astronaut().convert("CMYK"), "TIFF"),
    "TIFF 16 bits": lambda: colour_sixteen_bits(".tiff"),
    "BMP": lambda: encoded(astronaut(), "BMP"),
    "GIF": lambda: encoded(astronaut().quantize(), "GIF"),
    "GIF animated": lambda: encoded(
        astronaut().quantize(), "GIF", save_all=True, append_images=[Image.new("P", (512, 400))]
    ),
    "JPEG 2000": lambda: encoded(astronaut(), "JPEG2000"),
    "JPEG 2000 alpha": lambda: encoded(rgba(), "JPEG2000"),
    "PPM": lambda: encoded(astronaut(), "PPM"),
    "JPEG XL": lambda: jpeg_xl(astronaut()),
    "JPEG XL grey": lambda: jpeg_xl(astronaut().convert("L")),
    "JPEG XL alpha": lambda: jpeg_xl(rgba()),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_format_people_have_is_read_and_its_face_found(kind: str, haar: Model) -> None:
    done = process(FILES[kind](), recipe(), haar, LIMITS)

    assert (done.status, done.reason) == ("faces", "")
    assert kind.startswith(done.format)
    assert (done.width, done.height) == (512, 400)
    face = done.faces[0]
    assert 150 < face.x + face.w / 2 < 280
    assert 50 < face.y + face.h / 2 < 200
    assert done.annotated is not None
    assert pixels(done.annotated).shape == (400, 512, 3)


@pytest.mark.parametrize("kind", [kind for kind in FILES if "grey" not in kind])
def test_colours_are_those_of_the_picture(kind: str) -> None:
    content = FILES[kind]()
    picture = decode(content, read_header(content, LIMITS.max_pixels))
    wrong = np.abs(picture[:, :, 2::-1].astype(int) - np.asarray(astronaut())).mean()
    assert wrong < 6, "mean difference of a channel, in levels of 255"


LITTLE_LOSS: dict[str, dict[str, object]] = {
    "JPEG": {"quality": 98},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 100, "speed": 10},
    "HEIF": {"quality": 98},
}
"""A lossy encoder loses other things of a turned picture, and Haar's boxes are steps of a fifth."""


@cache
def turned(orientation: int, kind: str) -> bytes:
    picture = stored_as(astronaut(), orientation)
    if kind == "TIFF":
        return encoded(picture, kind, tiffinfo={ORIENTATION: orientation})
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(picture, kind, exif=exif.tobytes(), **LITTLE_LOSS.get(kind, {}))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_found_and_written_upright(
    kind: str, orientation: int, haar: Model
) -> None:
    done = process(turned(orientation, kind), recipe(mode="solid"), haar, LIMITS)

    level = process(turned(1, kind), recipe(mode="solid"), haar, LIMITS)
    assert (done.width, done.height) == (512, 400)
    assert len(done.faces) == len(level.faces)
    for face, same in zip(done.faces, level.faces, strict=True):
        assert [face.x, face.y, face.w, face.h] == pytest.approx(
            [same.x, same.y, same.w, same.h], abs=2
        )
    assert done.annotated is not None
    assert level.annotated is not None
    difference = np.abs(pixels(done.annotated) - pixels(level.annotated))
    assert difference.mean() < 3
    with Image.open(io.BytesIO(done.annotated)) as annotated:
        assert ORIENTATION not in annotated.getexif(), "a viewer would turn it again"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turning_undoes_how_the_camera_was_held(orientation: int) -> None:
    held = np.asarray(stored_as(astronaut(), orientation))
    assert np.array_equal(upright(held, orientation), np.asarray(astronaut()))


def test_an_orientation_that_exif_does_not_know_is_upright() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 9
    assert read_header(encoded(astronaut(), "JPEG", exif=exif), 10**9).orientation == 1


def test_an_orientation_of_too_many_values_is_its_first_and_nothing_is_warned() -> None:
    """Found by the fuzzer: a tag's values are parsed, and warned about, only when it is read."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = encoded(astronaut(), "JPEG", exif=exif)
    tag = b"\x01\x12\0\x03\0\0\0\x01"
    assert tag in content
    twice = content.replace(tag, tag[:-1] + b"\x02")
    assert read_header(twice, 10**9).orientation == 6


@pytest.mark.parametrize(
    ("longest", "expected"), [(64, 8), (65, 4), (128, 4), (200, 2), (256, 2), (257, 1), (9999, 1)]
)
def test_a_jpeg_is_reduced_while_decoding_but_never_below_what_is_searched(
    longest: int, expected: int
) -> None:
    content = FILES["JPEG"]()
    header = read_header(content, 10**9)
    by = reduction(header, longest)
    assert by == expected
    assert decode(content, header, by).shape == (400 // by, 512 // by, 3)


def colours_lost(original: bytes, decoded: np.ndarray) -> float:
    """How far colour is from the original's, on average, once this was encoded."""
    again = encode_jpeg(decoded, 95)
    return float(np.abs(chroma(again) - chroma(original)).mean())


def chroma(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened.convert("YCbCr"), np.int16)[:, :, 1:]


@pytest.mark.parametrize("progressive", [False, True])
def test_colours_of_a_jpeg_keep_closer_to_the_original_than_by_interpolation(
    progressive: bool,
) -> None:
    content = encoded(astronaut(), "JPEG", quality=95, subsampling="4:2:0", progressive=progressive)
    interpolated = as_opencv(content)
    lost = colours_lost(content, decode(content, read_header(content, 1 << 20)))
    assert lost < 0.8 * colours_lost(content, interpolated)


def as_opencv(content: bytes) -> NDArray[np.uint8]:
    """Pixels, height x width x BGR, as OpenCV alone decodes them."""
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return np.asarray(found, np.uint8)


def flawed(content: bytes) -> bytes:
    """A few bits of a JPEG's data turned over: libjpeg decodes it with a warning."""
    at = len(content) * 3 // 4
    return content[:at] + bytes(byte ^ 0x55 for byte in content[at : at + 8]) + content[at + 8 :]


@pytest.mark.parametrize(
    "content",
    [
        flawed(encoded(astronaut(), "JPEG")),
        encoded(astronaut().convert("CMYK"), "JPEG"),
        encoded(astronaut(), "JPEG", keep_rgb=True),
    ],
    ids=["flawed", "CMYK", "RGB"],
)
def test_a_jpeg_with_a_flaw_or_of_a_rare_kind_is_what_opencv_makes_of_it(content: bytes) -> None:
    found = decode(content, read_header(content, 1 << 20))
    assert np.array_equal(found, as_opencv(content))


def test_odd_sides_are_rounded_up_when_reduced() -> None:
    content = encoded(astronaut().crop((0, 0, 501, 397)), "JPEG")
    header = read_header(content, 10**9)
    assert [decode(content, header, by).shape[:2] for by in (2, 4, 8)] == [
        (199, 251),
        (100, 126),
        (50, 63),
    ]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_that_claims(width: int, height: int) -> bytes:
    size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels_ = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + size + pixels_ + chunk(b"IEND", b"")


def jpeg_that_claims(width: int, height: int) -> bytes:
    content = bytearray(FILES["JPEG"]())
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def webp_that_claims(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp_that_claims(width: int, height: int) -> bytes:
    content = bytearray(encoded(astronaut(), "BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


@pytest.mark.parametrize(
    "bomb", [png_that_claims, jpeg_that_claims, webp_that_claims, bmp_that_claims]
)
def test_a_header_that_claims_too_many_pixels_is_refused_before_decoding(
    bomb: Callable[[int, int], bytes], haar: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.detector.picture.decode", None)  # calling it would fail

    done = process(bomb(50_000, 50_000), recipe(), haar, LIMITS)

    assert done.status == "failed"
    assert "50000 x 50000" in done.reason
    assert "120,000,000" in done.reason


def test_the_cap_is_of_pixels_not_of_sides(haar: Model) -> None:
    content = FILES["JPEG"]()
    assert process(content, recipe(), haar, Limits(512 * 400)).status == "faces"
    assert process(content, recipe(), haar, Limits(512 * 400 - 1)).status == "failed"


BAD = {
    "empty": (b"", "empty", Reason.EMPTY),
    "text": (b"hello, I am no picture", "not a picture", Reason.UNKNOWN_FORMAT),
    "start of a JPEG": (b"\xff\xd8\xff\xe0", "JPEG", Reason.DAMAGED),
    "HEIC without picture": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC", Reason.DAMAGED),
    "start of a CR2": (b"II*\0\x10\0\0\0CR\x02\0", "camera raw", Reason.DAMAGED),
    "camera raw that nobody knows": (
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(4096),
        "camera raw",
        Reason.UNSUPPORTED,
    ),
    "OpenEXR": (b"v/1\x01\2\0\0\0", "OpenEXR", Reason.UNSUPPORTED),
    "JPEG XR": (b"II\xbc\x01\x20\0\0\0", "JPEG XR", Reason.UNSUPPORTED),
    "lossless JPEG": (
        b"\xff\xd8\xff\xc3\0\x0b\x08\0\x08\0\x08\1\1\x11\0",
        "lossless JPEG",
        Reason.UNSUPPORTED,
    ),
    "JPEG-LS": (
        b"\xff\xd8\xff\xf7\0\x0b\x08\0\x08\0\x08\1\1\x11\0",
        "JPEG-LS",
        Reason.UNSUPPORTED,
    ),
    "JPEG XL": (b"\xff\n\xfa\x1f", "JPEG XL", Reason.TRUNCATED),
    "start of a PSD": (b"8BPS\0\1", "PSD", Reason.TRUNCATED),
    "PSD without its composite": (
        psd(astronaut(), has_composite=False),
        "Maximize Compatibility",
        Reason.UNSUPPORTED,
    ),
    "PDF": (b"%PDF-1.7", "PDF", Reason.UNSUPPORTED),
    "SVG": (b"<?xml version='1.0'?><svg/>", "SVG", Reason.UNSUPPORTED),
    "video": (b"\0\0\0\x18ftypmp42\0\0\0\0", "MP4 video", Reason.UNSUPPORTED),
    "Matroska": (b"\x1aE\xdf\xa3", "Matroska video", Reason.UNSUPPORTED),
    "WebP without picture": (b"RIFF\x04\0\0\0WEBP", "WebP", Reason.DAMAGED),
    "PNG of no width": (png_that_claims(0, 5), "PNG", Reason.DAMAGED),
    "PNG of too many pixels": (png_that_claims(50_000, 50_000), "PNG", Reason.TOO_MANY_PIXELS),
    "the head of a JPEG": (FILES["JPEG"]()[:300], "the file ends before", Reason.TRUNCATED),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_searched_says_why(kind: str, haar: Model) -> None:
    content, told, code = BAD[kind]
    done = process(content, recipe(), haar, LIMITS)
    assert (done.status, done.faces, done.annotated) == ("failed", (), None)
    assert told in done.reason
    assert done.code is code


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_recognised_as_one_format_and_no_other_that_is_read(kind: str) -> None:
    content = FILES[kind]()
    found = recognised(content)
    assert found is not None
    assert kind.startswith(found.name)
    assert [one for one in READABLE.values() if one.recognises(content[:64])] == [found]


def test_a_file_of_two_brands_is_read_where_one_of_them_is() -> None:
    found = recognised(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf")
    assert found is READABLE["AVIF"]
    assert len({one.name for one in FORMATS}) == len(FORMATS)


ONLY_WHOLE = [
    kind
    for kind in FILES
    if kind.startswith(("WebP", "AVIF", "HEIC", "JPEG 2000", "JPEG XL", "PPM"))
]


@pytest.mark.parametrize("kind", [kind for kind in ONLY_WHOLE if "animated" not in kind])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_truncated_file_fails_and_names_its_format(kind: str, part: float, haar: Model) -> None:
    content = FILES[kind]()
    done = process(content[: int(len(content) * part)], recipe(), haar, LIMITS)
    assert done.status == "failed"
    named = kind[:9].strip() if kind.startswith("JPEG 2") else kind.partition(" ")[0]
    named = "JPEG XL" if kind.startswith("JPEG XL") else named
    assert done.reason.startswith(f"the {named} ")
    if kind == "WebP":
        assert "truncated" in done.reason


@pytest.mark.parametrize(("least", "most"), [(0.0, 1.0), (0.0, 255.0), (-3000.0, 9000.0)])
def test_a_float_tiff_is_searched_whatever_its_numbers_mean(
    least: float, most: float, haar: Model
) -> None:
    grey = np.asarray(astronaut().convert("L"), np.float32) / 255
    floats = Image.fromarray(grey * (most - least) + least)
    done = process(encoded(floats, "TIFF"), recipe(), haar, LIMITS)
    assert (done.status, len(done.faces)) == ("faces", 1)


def test_pixels_that_are_not_those_the_header_claims_are_refused() -> None:
    content = FILES["PNG"]()
    header = read_header(FILES["JPEG"](), 10**9)
    other = encoded(astronaut().crop((0, 0, 100, 100)), "PNG")
    assert decode(content, header).shape == (400, 512, 3)
    with pytest.raises(BadPicture, match="claims 512 x 400"):
        decode(other, header)


def test_a_picture_without_a_face_has_no_annotated_one(haar: Model) -> None:
    done = process(encoded(Image.new("RGB", (300, 200), "teal"), "JPEG"), recipe(), haar, LIMITS)
    assert (done.status, done.reason, done.annotated, done.faces) == ("no_faces", "", None, ())
    assert "draw" not in done.steps_ms


def test_a_png_chunk_longer_than_the_file_is_never_given_to_the_decoder(
    haar: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the fuzzer: OpenCV takes 4 GiB for a chunk that claims them."""
    given: list[bytes] = []
    by_opencv = png._by_opencv

    def kept(content: bytes, header: Header, reduced: int) -> Pixels:
        given.append(content)
        return by_opencv(content, header, reduced)

    monkeypatch.setattr(png, "_by_opencv", kept)
    content = bytearray(FILES["PNG"]())
    content[33:37] = b"\xff\xff\xff\xff"
    done = process(bytes(content), recipe(), haar, LIMITS)
    assert done.status == "failed"
    assert [png_is_whole(one) for one in given] == [True]


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (2000, 3), (31, 33)])
def test_the_oddest_sizes_are_searched(size: tuple[int, int], haar: Model) -> None:
    for kind in ("JPEG", "PNG"):
        content = encoded(Image.new("RGB", size, "white"), kind)
        assert process(content, recipe(), haar, LIMITS).status == "no_faces"
        assert process(content, recipe(accurate=True), haar, LIMITS).status == "no_faces"

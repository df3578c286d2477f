"""A file of every kind that people have in their folders: most of them show the same face."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from PIL import Image
from tifffile import imwrite  # of scikit-image

from tests.support.bombs import chunk
from tests.support.jpeg_xl_pictures import jpeg_xl
from tests.support.pictures import ORIENTATION, animated, astronaut, encoded, stored_as
from tests.support.psd_pictures import psd
from tests.support.raw_pictures import dng

VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(4000)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n%%EOF\n"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


def jpeg(picture: Image.Image | None = None, **options: object) -> bytes:
    return encoded(picture or astronaut(), "JPEG", quality=95, **options)


def most_of(content: bytes, part: float = 0.8) -> bytes:
    return content[: int(len(content) * part)]


def with_clear_corner() -> Image.Image:
    picture = astronaut().convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 360, 60, 400))
    return picture


def of_256_colours() -> Image.Image:
    return astronaut().quantize(256, dither=Image.Dither.NONE)


def png_of_16_bits() -> bytes:
    wide = np.asarray(astronaut())[:, :, ::-1].astype(np.uint16) * 257
    return cv2.imencode(".png", wide)[1].tobytes()


def png_turned_by_a_text(orientation: int, kind: bytes = b"zTXt") -> bytes:
    """As ImageMagick wrote EXIF before PNG had a chunk for it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    block = exif.tobytes()
    digits = block.hex()
    rows = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    text = f"\nexif\n{len(block):8}\n{rows}\n".encode()
    body = b"Raw profile type exif\0"
    body += b"\0" + zlib.compress(text) if kind == b"zTXt" else text
    whole = encoded(stored_as(astronaut(), orientation), "PNG")
    return whole[:33] + chunk(kind, body) + whole[33:]


def jpeg_turned() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return jpeg(stored_as(astronaut(), 6), exif=exif)


def twice() -> list[Image.Image]:
    """Nothing, then the face."""
    return [Image.new("RGB", astronaut().size, (90, 90, 90)), astronaut()]


def tiff_of_floats() -> bytes:
    file = io.BytesIO()
    imwrite(file, np.asarray(astronaut(), np.float32) / 255, photometric="rgb")
    return file.getvalue()


def tiff_with_a_thumbnail_first() -> bytes:
    file = io.BytesIO()
    small = np.asarray(astronaut().resize((64, 50)))
    imwrite(file, small, photometric="rgb", subfiletype=1)
    file.seek(0)
    imwrite(file, np.asarray(astronaut()), photometric="rgb", append=True)
    return file.getvalue()


def tiff_of_a_picture_below_its_thumbnail(full: Image.Image | None = None) -> bytes:
    """The full picture stands in a SubIFD of the reduced one (TIFF/EP, 5.2.2.3)."""
    content = bytearray(b"II*\0\0\0\0\0")
    inner = _add_directory(content, full or astronaut(), 0, 0)
    outer = _add_directory(content, astronaut().resize((64, 50)), 1, inner)
    struct.pack_into("<I", content, 4, outer)
    return bytes(content)


def _add_directory(content: bytearray, picture: Image.Image, kind: int, inner: int) -> int:
    """Its pixels and its directory, at the end of a TIFF; where the directory begins."""
    pixels, bits = len(content), len(content) + 3 * picture.width * picture.height
    content += picture.convert("RGB").tobytes() + struct.pack("<HHH2x", 8, 8, 8)
    entries = [
        (254, 4, 1, kind),
        (256, 4, 1, picture.width),
        (257, 4, 1, picture.height),
        (258, 3, 3, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, pixels),
        (277, 3, 1, 3),
        (278, 4, 1, picture.height),
        (279, 4, 1, bits - pixels),
        *([(330, 4, 1, inner)] if inner else []),
    ]
    at = len(content)
    content += struct.pack("<H", len(entries))
    content += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return at


JPEGS: dict[str, Callable[[], bytes]] = {
    "baseline.jpg": jpeg,
    "256-colours.jpg": lambda: encoded(
        of_256_colours().convert("RGB"), "JPEG", quality=100, subsampling=0
    ),
}
"""What boxes are compared with: the first, and for a GIF, which has no more colours, the other."""


def heic_held(orientation: int) -> bytes:
    """As a phone that was held so writes it: turned by its properties (`irot`, `imir`)."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = stored_as(astronaut(), orientation)
    return encoded(
        stored, "HEIF", quality=-1, chroma=444, matrix_coefficients=0, exif=exif.tobytes()
    )


SAME_FACE: dict[str, Callable[[], bytes]] = {
    "progressive.jpg": lambda: jpeg(progressive=True),
    "inks.jpg": lambda: jpeg(astronaut().convert("CMYK")),
    "turned.jpg": jpeg_turned,
    "without-end.jpg": lambda: jpeg().removesuffix(b"\xff\xd9"),
    "cut.jpg": lambda: most_of(jpeg()),
    "motion-photo.jpg": lambda: jpeg() + VIDEO,
    "alpha.png": lambda: encoded(with_clear_corner(), "PNG"),
    "16-bits.png": png_of_16_bits,
    "turned-by-a-text.png": lambda: png_turned_by_a_text(6),
    "cut.png": lambda: most_of(encoded(astronaut(), "PNG")),
    "palette.gif": lambda: encoded(of_256_colours(), "GIF"),
    "lossless.webp": lambda: encoded(astronaut(), "WEBP", lossless=True),
    "moving.webp": lambda: animated("WEBP", twice(), lossless=True),
    "still.avif": lambda: encoded(astronaut(), "AVIF", quality=90),
    "moving.avif": lambda: animated("AVIF", twice(), quality=100, subsampling="4:4:4"),
    "floats.tif": tiff_of_floats,
    "thumbnail-first.tif": tiff_with_a_thumbnail_first,
    "below-a-thumbnail.tif": tiff_of_a_picture_below_its_thumbnail,
    "big.tif": lambda: encoded(astronaut(), "TIFF", big_tiff=True),
    "pages.tif": lambda: animated("TIFF", twice()),
    "two-pictures.mpo": lambda: animated("MPO", [astronaut(), astronaut()], quality=95),
    "layers.psd": lambda: psd(astronaut()),
    "layers.psb": lambda: psd(astronaut(), wide=True, bits=16),
    "camera.dng": lambda: dng(astronaut()),
    "lossless.jp2": lambda: encoded(astronaut(), "JPEG2000"),
    "plain.bmp": lambda: encoded(astronaut(), "BMP"),
    "plain.ppm": lambda: encoded(astronaut(), "PPM"),
    "lossless.jxl": lambda: jpeg_xl(astronaut()),
    **{f"held-{number}.heic": partial(heic_held, number) for number in range(1, 9)},
}
"""Files that show the face of a JPEG, by their names."""

NOT_READ: dict[str, tuple[Callable[[], bytes], str]] = {
    "drawing.svg": (lambda: SVG, "unsupported"),
    "video.mp4": (lambda: VIDEO, "unsupported"),
    "paper.pdf": (lambda: PDF, "unsupported"),
    "letter.jpg": (lambda: b"Dear Ada,\nthis is no picture.\n" * 20, "unknown_format"),
    "nothing.jpg": (lambda: b"", "empty"),
    "layers-only.psd": (lambda: psd(astronaut(), has_composite=False), "unsupported"),
}
"""Files that are not searched, with the code of the reason that their rows give."""

"""Sample pictures for a demonstration, made from those inside the scikit-image package.

`python -m bench.samples FOLDER` writes about forty: a portrait turned, scaled, darkened, in other
formats and EXIF orientations, crowds, pictures without a face, and one broken file.
"""

import argparse
import io
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from PIL.Image import Resampling, Transpose

EXIF_ORIENTATION = 0x0112

STORED_AS = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}
"""How a camera held that way stores its pixels: the inverse of what the tag asks for."""

WITHOUT_A_FACE = (
    "coffee.png",
    "chelsea.png",
    "rocket.jpg",
    "moon.png",
    "coins.png",
    "brick.png",
    "hubble_deep_field.jpg",
    "page.png",
    "motorcycle_left.png",
    "clock_motion.png",
)

BACKGROUND = (96, 108, 118)


BROKEN = "broken"
"""The folder of the sample that is not a whole file."""


def write_samples(folder: Path, *, broken: bool = True) -> int:
    """Write the samples below `folder`, with or without the broken one; how many they are.

    They are the same every time.
    """
    count = 0
    for name, content in samples():
        if name.startswith(f"{BROKEN}/") and not broken:
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != content:  # a rerun finds them unchanged
            path.write_bytes(content)
        count += 1
    return count


def samples() -> Iterator[tuple[str, bytes]]:
    """Each file's name, relative to a folder, and its content."""
    portrait = _packaged("astronaut.png").convert("RGB")
    yield from _portraits(portrait)
    yield from _formats(portrait)
    for orientation in STORED_AS:
        yield f"held/orientation {orientation}.jpg", _oriented(portrait, orientation)
    yield from _crowds(portrait)
    for name in WITHOUT_A_FACE:
        yield f"no face/{Path(name).stem}.jpg", _jpeg(_packaged(name).convert("RGB"))
    yield f"{BROKEN}/half a file.jpg", _jpeg(portrait)[:9000]


def _portraits(portrait: Image.Image) -> Iterator[tuple[str, bytes]]:
    changes: dict[str, Callable[[Image.Image], Image.Image]] = {
        "as it is": lambda image: image,
        "mirrored": ImageOps.mirror,
        "small": lambda image: image.resize((150, 150), Resampling.LANCZOS),
        "large": lambda image: image.resize((1536, 1536), Resampling.LANCZOS),
        "turned left": lambda image: image.rotate(12, Resampling.BICUBIC, fillcolor=BACKGROUND),
        "turned right": lambda image: image.rotate(-20, Resampling.BICUBIC, fillcolor=BACKGROUND),
        "dark": lambda image: ImageEnhance.Brightness(image).enhance(0.35),
        "bright": lambda image: ImageEnhance.Brightness(image).enhance(1.6),
        "flat": lambda image: ImageEnhance.Contrast(image).enhance(0.45),
        "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
        "soft": lambda image: image.filter(ImageFilter.GaussianBlur(2.5)),
        "grainy": _grainy,
        "in a corner": lambda image: _on_canvas(image.resize((220, 220)), (960, 640), (710, 400)),
    }
    for name, change in changes.items():
        yield f"portrait/{name}.jpg", _jpeg(change(portrait))
    yield "portrait/photographer.jpg", _jpeg(_packaged("camera.png").convert("RGB"))


def _formats(portrait: Image.Image) -> Iterator[tuple[str, bytes]]:
    face = portrait.crop((90, 0, 390, 300))
    alpha = face.copy()
    alpha.putalpha(
        Image.linear_gradient("L").resize(face.size).point(lambda value: 255 - value // 2)
    )
    yield "formats/transparent.png", _encoded(alpha, "PNG")
    yield "formats/palette.png", _encoded(face.quantize(64), "PNG")
    yield "formats/web.webp", _encoded(face, "WEBP", quality=85)
    yield "formats/scan.tiff", _encoded(ImageOps.grayscale(face), "TIFF")


def _crowds(portrait: Image.Image) -> Iterator[tuple[str, bytes]]:
    face = portrait.crop((120, 0, 340, 220))
    sizes = (220, 160, 110, 80, 56, 40)
    row = Image.new("RGB", (sum(sizes) + 20 * len(sizes), 260), BACKGROUND)
    x = 10
    for size in sizes:
        row.paste(face.resize((size, size), Resampling.LANCZOS), (x, 240 - size))
        x += size + 20
    yield "crowd/near and far.jpg", _jpeg(row)
    group = Image.new("RGB", (4 * 200, 3 * 200), BACKGROUND)
    for place in range(12):
        one = face.resize((200, 200), Resampling.LANCZOS).rotate((place * 7) % 25 - 12)
        one = ImageOps.mirror(one) if place % 2 else one
        one = ImageEnhance.Brightness(one).enhance(0.7 + 0.06 * place)
        group.paste(one, (place % 4 * 200, place // 4 * 200))
    yield "crowd/a dozen.jpg", _jpeg(group)
    yield "crowd/forty strangers.jpg", _jpeg(_strangers(8, 5))


def _strangers(columns: int, rows: int) -> Image.Image:
    """Faces of the small set of grey 25 x 25 cut-outs, enlarged, side by side."""
    with resources.as_file(resources.files("skimage.data") / "lfw_subset.npy") as path:
        cutouts = np.load(path)[: columns * rows]  # faces come first
    side = 100
    wall = Image.new("L", (columns * side, rows * side))
    for place, cutout in enumerate(cutouts):
        one = Image.fromarray((cutout * 255).astype(np.uint8))
        one = one.resize((side, side), Resampling.LANCZOS)
        wall.paste(one, (place % columns * side, place // columns * side))
    return wall.convert("RGB")


def _oriented(image: Image.Image, orientation: int) -> bytes:
    how = STORED_AS[orientation]
    upright = image.crop((40, 0, 440, 300))  # not square, so that a turn is seen
    stored = upright if how is None else upright.transpose(how)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    return _encoded(stored, "JPEG", quality=90, exif=exif)


def _grainy(image: Image.Image) -> Image.Image:
    grain = np.random.default_rng(2011).normal(0, 28, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def _on_canvas(image: Image.Image, size: tuple[int, int], place: tuple[int, int]) -> Image.Image:
    canvas = Image.new("RGB", size, BACKGROUND)
    canvas.paste(image, place)
    return canvas


def _packaged(name: str) -> Image.Image:
    with (resources.files("skimage.data") / name).open("rb") as file:
        image = Image.open(file)
        image.load()
    return image


def _jpeg(image: Image.Image) -> bytes:
    return _encoded(image, "JPEG", quality=90)


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    """Write them all, and say how many."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.samples", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", type=Path, help="where to write them")
    folder: Path = parser.parse_args(arguments).folder
    print(f"{write_samples(folder)} sample pictures in {folder}")


if __name__ == "__main__":
    main()

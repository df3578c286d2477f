"""What a format of files is to the detector: one entry of `services.detector.formats.FORMATS`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from PIL import Image

from services.detector.failures import BadPicture
from services.detector.models.model import Pixels
from shared.reasons import Reason

HEAD_BYTES = 64
"""First bytes of a file by which its format is recognised."""


@dataclass(frozen=True)
class Header:
    """What a file, or one page of it, says before any pixel is decoded.

    `width` and `height` are in pixels of the stored picture, before `orientation` (EXIF, 1 to 8)
    turns it upright. `format` is the name of an entry of `FORMATS`. `turned` is the orientation
    that `decode` undoes itself, and that the size has no part in; `orientation` is 1 then. `held`
    is how many pixels `decode` holds at once, where these are more than the size tells.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    icc: bytes = b""
    exif: Image.Exif = field(default_factory=Image.Exif)
    turned: int = 1
    held: int = 0


@dataclass(frozen=True)
class StoredPage:
    """One page of a file. `decode` gives its pixels, as `Format.decode`."""

    header: Header
    decode: Callable[[], Pixels]


@dataclass(frozen=True)
class Pages:
    """The pages of a file that has more than one.

    `count` is how many, counted up to `PAGES_COUNTED`. `each` gives them in order; a page is to be
    decoded before the next is asked for. One that cannot be read is given as the `BadPicture` that
    says why. It may end before `count`, where nothing behind a damaged page can be read.
    `own_sizes` says that pages differ in size, so that one too large fails alone; the frames of an
    animation share a canvas, whose size is judged before any of them is composed.
    """

    count: int
    each: Callable[[], Iterator[StoredPage | BadPicture]]
    own_sizes: bool = False


def never_cut(_: bytes) -> bool:
    """For formats of which nothing is read where the end is missing."""
    return False


def one_page(_: bytes, __: Header) -> None:
    """For formats whose files are single pictures."""
    return


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: as rows and sentences have it.
        recognises: whether a file is of this format, by its first `HEAD_BYTES`.
        costs: refuses a file that would cost more than its pixels do, by its structure alone
            (`services.detector.formats.costs`). It comes before anything else reads the file, and
            is itself bounded: in C for each byte, in Python for as many pieces as its caps allow.
            Which caps a format needs is to be measured: with as many as fit a file of each thing
            that the format lets a file have many of, or say the size of twice.
        read_header: a file's header, without decoding; of a document, of its first page.
        decode: a file's pixels, of its first page: `(content, header, reduced)` to BGR, 8 bits,
            as stored, each side divided by `reduced`, rounded up. The size that it finds is the
            header's, or it fails: sizes are read where the decoder reads them.
        reductions: what `decode` may be asked to reduce by; largest last.
        pages: a file's pages; None where it has one.
        is_cut: whether a file ends before its picture does, by its structure alone. `decode` then
            gives as much of the picture as there is; what is missing is of one colour, so that no
            face is found in it.

    Raises (costs, read_header, decode, pages):
        BadPicture: the file cannot be searched, and why.
        MemoryError: there is not enough memory.
    """

    name: str
    recognises: Callable[[bytes], bool]
    costs: Callable[[bytes], None]
    read_header: Callable[[bytes], Header]
    decode: Callable[[bytes, Header, int], Pixels]
    reductions: tuple[int, ...] = (1,)
    pages: Callable[[bytes, Header], Pages | None] = one_page
    is_cut: Callable[[bytes], bool] = never_cut


@dataclass(frozen=True)
class Unreadable:
    """A format that is recognised, so that a person can be told which one it is."""

    name: str
    recognises: Callable[[bytes], bool]


def begins(*magics: bytes) -> Callable[[bytes], bool]:
    """Recognises files that begin with one of these."""
    return lambda head: head.startswith(magics)


def brands(head: bytes) -> frozenset[bytes]:
    """The brands of a file of boxes (ISO/IEC 14496-12, 4.3), as far as `head` goes; else none."""
    if head[4:8] != b"ftyp":
        return frozenset()
    return frozenset({head[8:12], *(head[at : at + 4] for at in range(16, HEAD_BYTES, 4))})


def branded(*wanted: bytes) -> Callable[[bytes], bool]:
    """Recognises files of boxes that have one of these brands."""
    return lambda head: not brands(head).isdisjoint(wanted)


def damaged(name: str, told: str) -> BadPicture:
    """A file whose header cannot be read."""
    return BadPicture(Reason.DAMAGED, f"the {name} is damaged or truncated: {told}")
